"""The statements about jobs: accept, claim, settle, finish, sweep."""
