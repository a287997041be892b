"""What a message is: decoding, identity, url rules, schema. Pure: knows no server and no Dagster."""
