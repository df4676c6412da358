"""Socket.IO: the clients of the first version of this service connect unchanged."""
