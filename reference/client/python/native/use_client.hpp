#pragma once

#include <string>

#include "reference/client/python/native/objects.hpp"

/// Calls of the C interface with a client that several threads may use.
namespace feedproxy_native {

inline bool try_lock(PyThread_type_lock lock) {
  return PyThread_acquire_lock(lock, NOWAIT_LOCK) == PY_LOCK_ACQUIRED;
}
inline void wait_for_lock(PyThread_type_lock lock) {
  if (try_lock(lock)) return;
  Py_BEGIN_ALLOW_THREADS PyThread_acquire_lock(lock, WAIT_LOCK);
  Py_END_ALLOW_THREADS
}

/// The right to use a client's fp_client, for the length of a scope. Waits for other threads
/// without the GIL.
class Use {
 public:
  explicit Use(Client* client) : lock_(client->lock) {
    wait_for_lock(client->next);
    wait_for_lock(lock_);
    PyThread_release_lock(client->next);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() { PyThread_release_lock(lock_); }

 private:
  PyThread_type_lock lock_;
};

/// What a call of the C interface said, taken along before another thread may call.
struct Outcome {
  fp_error code = FP_OK;
  std::string text;

  void take(const fp_client* client) {
    code = fp_error_code(client);
    text = fp_error_text(client);
  }
  void closed() {
    code = FP_ERROR_BAD_REQUEST;
    text = "the client is closed";
  }
  PyObject* raise_it() const { return raise(code, text.c_str()); }
};

/// Calls with the client, under its lock and the GIL; call: fp_client* -> true if all is well.
template <class Call>
bool with_client(PyObject* self, Call&& call) {
  Outcome outcome;
  {
    const Use use(as<Client>(self));
    fp_client* const client = as<Client>(self)->client;
    if (client == nullptr)
      outcome.closed();
    else if (!call(client))
      outcome.take(client);
    else
      return true;
  }
  outcome.raise_it();
  return false;
}

/// The same without the GIL. (The lock is held meanwhile, so that close() waits.)
template <class Call>
bool with_client_unlocked(PyObject* self, Call&& call) {
  return with_client(self, [&](fp_client* client) {
    bool well = false;
    Py_BEGIN_ALLOW_THREADS well = call(client);
    Py_END_ALLOW_THREADS return well;
  });
}

}  // namespace feedproxy_native
