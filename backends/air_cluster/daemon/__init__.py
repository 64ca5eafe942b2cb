"""The process of a node: worker pool, leases, actors, placement groups, shared memory."""
