"""All that knows SQL: schema, migrations, queries."""
