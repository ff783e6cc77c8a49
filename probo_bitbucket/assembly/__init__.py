"""Assembly: the only place where the parts meet, each made of the settings and given what it needs of the others."""

from probo_bitbucket.assembly.foundation import Foundation
from probo_bitbucket.assembly.parts import Parts, assemble

__all__ = ["Foundation", "Parts", "assemble"]
