//! What the builder asks of the machine: users, processes, mounts.
