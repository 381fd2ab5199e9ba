"""The parent of a project's containers: forks, reaps, copies output, holds sockets; stdlib only, no policy."""
