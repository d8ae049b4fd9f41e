// The C interface, compiled into the extension: nothing is needed at run time but this one file. Included, so that the
// object file lands in the package's own build folder.
#include "reference/client/c/feedproxy_client.cpp"  // NOLINT
