"""The container engine: mechanism without policy. Imports only itself and the standard library."""
