"""Every command: where it is, what may be done with it, and what it is for.

The table is read at each start, before anything else is loaded (handover.py): nothing is imported here.
"""

from __future__ import annotations

# When a command is given to the forkserver. Those that are over soon, or only show what others do; those with a load
# of their own stay where the caller's limits and priorities are, and those that take a terminal over where that is.
NEVER = "never"
ALWAYS = "always"
DETACHED = "with a flag of DETACHING"
WITHOUT_TERMINAL = "unless standard input is a terminal"

DETACHING = frozenset(("-d", "--detach", "--wait", "--no-start"))


class Command:
    """A row of the table.

    `module` is below pycompose.cli and has a click command called `command`. `use_case` is the module of
    pycompose.client that it imports late and the forkserver ahead, "" where there is none or one that is too large:
    `inspect` brings the networking, 20 MB. `help` is its line of `--help`.
    """

    __slots__ = ("handed_over", "help", "module", "use_case")

    def __init__(self, module: str, handed_over: str, use_case: str, help: str) -> None:  # noqa: A002 - click's word
        self.module = f"pycompose.cli.{module}"
        self.handed_over = handed_over
        self.use_case = f"pycompose.client.{use_case}" if use_case else ""
        self.help = help


# Docker Compose's commands that there won't be, and what does their work.
REPLACED = {
    "convert": "use 'pycompose config'",
    "publish": "use 'pycompose push' for the images, and give the compose file to whoever needs it",
    "bridge": "give what 'pycompose config' prints to a converter",
}

# In the order of --help.
COMMANDS: dict[str, Command] = {
    "up": Command("commands.up", DETACHED, "changes", "Create and start containers"),
    "down": Command("commands.down", ALWAYS, "changes", "Stop and remove containers and networks"),
    "ps": Command("commands.ps", ALWAYS, "listings", "List containers"),
    "logs": Command("commands.logs", ALWAYS, "logs", "View output from containers"),
    "exec": Command("commands.exec", WITHOUT_TERMINAL, "sessions", "Execute a command in a running container"),
    "run": Command("commands.run", NEVER, "", "Run a one-off command on a service"),
    "attach": Command("commands.attach", NEVER, "", "Attach standard streams to a service's running container"),
    "start": Command("commands.start", ALWAYS, "changes", "Start services"),
    "stop": Command("commands.stop", ALWAYS, "changes", "Stop services"),
    "restart": Command("commands.restart", ALWAYS, "changes", "Restart services"),
    "kill": Command("commands.kill", ALWAYS, "changes", "Force stop services"),
    "rm": Command("commands.rm", ALWAYS, "changes", "Remove stopped service containers"),
    "create": Command("commands.create", ALWAYS, "changes", "Create containers for services"),
    "scale": Command("commands.scale", ALWAYS, "changes", "Scale services"),
    "pause": Command("commands.pause", ALWAYS, "changes", "Pause services"),
    "unpause": Command("commands.unpause", ALWAYS, "changes", "Unpause services"),
    "port": Command("commands.port", ALWAYS, "listings", "Print the public address of a container port"),
    "cp": Command("commands.cp", NEVER, "", "Copy files between containers and the host"),
    "export": Command("commands.export", NEVER, "", "Export a container's file system as a tar archive"),
    "commit": Command("commands.commit", NEVER, "", "Create an image from a container's changes"),
    "build": Command("commands.build", ALWAYS, "build", "Build or rebuild services"),
    "pull": Command("commands.pull", NEVER, "", "Pull service images"),
    "push": Command("commands.push", NEVER, "", "Push service images"),
    "hosts": Command("commands.hosts", ALWAYS, "hosts", "Print containers' names for /etc/hosts, or keep them there"),
    "images": Command("commands.images", ALWAYS, "listings", "List images used by the created containers"),
    "top": Command("commands.top", ALWAYS, "top", "Display the running processes"),
    "stats": Command("commands.stats", ALWAYS, "stats", "Display a live stream of what the containers use"),
    "events": Command("commands.events", ALWAYS, "events", "Receive real time events from containers"),
    "wait": Command("commands.wait", ALWAYS, "wait", "Block until containers of the services stop"),
    "watch": Command("commands.watch", NEVER, "", "Keep files in containers like those here, rebuild and restart"),
    "volumes": Command("commands.volumes", ALWAYS, "listings", "List volumes"),
    "test": Command("commands.test", NEVER, "", "Run tests on a stack of what they need, and leave nothing"),
    "gc": Command("commands.gc", NEVER, "", "Take down test stacks that nobody owns any more"),
    "kube": Command("commands.kube", NEVER, "", "Run the project on Kubernetes"),
    "graph": Command("commands.graph", ALWAYS, "", "Show what depends on what"),
    "page": Command("commands.page", NEVER, "", "Show what runs, live, on a web page of this machine"),
    "viz": Command("commands.viz", NEVER, "", "Draw what depends on what, for Graphviz"),
    "config": Command("commands.config", ALWAYS, "", "Parse, resolve and render the compose file in canonical format"),
    "ls": Command("commands.ls", ALWAYS, "listings", "List projects"),
    "container": Command("container.group", NEVER, "", "Manage containers"),
    "volume": Command("commands.volume", NEVER, "", "Manage volumes"),
    "network": Command("commands.network", ALWAYS, "", "Manage networks"),
    "system": Command("commands.system", NEVER, "", "Look after the machine"),
    "inspect": Command("commands.inspect", ALWAYS, "", "Show all about containers, images, volumes or networks"),
    "doctor": Command("commands.doctor", NEVER, "", "Show what this machine can do, and how to mend what it can't"),
    "systemd": Command("commands.systemd", NEVER, "", "Bring a project up with the machine"),
    "image": Command("commands.image", NEVER, "", "Manage images"),
    "builder": Command("commands.builder", NEVER, "", "Manage builds"),
    "login": Command("commands.login", NEVER, "", "Log in to a registry"),
    "logout": Command("commands.logout", NEVER, "", "Log out from a registry"),
    "alpha": Command("commands.alpha", NEVER, "", "Commands that Docker Compose calls experimental"),
    "docker": Command("commands.docker", NEVER, "", "Take docker's words for what is done here"),
    "completion": Command("commands.completion", NEVER, "", "Print the script for shell completion"),
    "help": Command("commands.help", ALWAYS, "", "Show what a command does"),
    "version": Command("commands.version", ALWAYS, "", "Show the version"),
}  # fmt: skip
