"""What Bitbucket shall show of builds, and how it comes to show it."""
