"""The small languages inside a compose file and beside it: ${…}, .env, short forms of ports and mounts."""
