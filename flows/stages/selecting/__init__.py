"""Parts of the selection stage: the request, the pool and its screening."""
