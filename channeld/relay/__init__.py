"""What a relay is made of below the air: profiles of arguments, and lists of upstream channels."""
