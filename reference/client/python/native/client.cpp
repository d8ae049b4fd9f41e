// Client: one client of a proxy. Requests and their answers, of which the package makes blocking
// calls.
#include <cstdint>
#include <string>
#include <vector>

#include "reference/client/python/native/use_client.hpp"

namespace feedproxy_native {
namespace {

/// The strings of a list or tuple, for C.
bool words_of(PyObject* sequence, std::vector<std::string>& words) {
  PyObject* const fast = PySequence_Fast(sequence, "spawn must be a sequence of strings");
  if (fast == nullptr) return false;
  bool well = true;
  for (Py_ssize_t i = 0; well && i < PySequence_Fast_GET_SIZE(fast); ++i) {
    const char* const word = PyUnicode_AsUTF8(PySequence_Fast_GET_ITEM(fast, i));
    well = word != nullptr;
    if (well) words.emplace_back(word);
  }
  Py_DECREF(fast);
  return well;
}

PyObject* client_new(PyTypeObject* type, PyObject* arguments, PyObject*) {
  const char* name = nullptr;
  const char* path = nullptr;
  const char* token = nullptr;
  PyObject* spawn = nullptr;
  int reconnect = 0;
  long long timeout_ms = 0;
  if (!PyArg_ParseTuple(arguments, "szOzpL", &name, &path, &spawn, &token, &reconnect, &timeout_ms))
    return nullptr;
  std::vector<std::string> words;
  if (!words_of(spawn, words)) return nullptr;
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  pointers.push_back(nullptr);
  fp_client_options options{};
  options.size = sizeof options;
  options.path = path;
  options.token = token;
  options.spawn = pointers.data();
  options.timeout_ms = timeout_ms;
  options.reconnect = reconnect != 0 ? 1 : 0;
  Client* const self = as<Client>(type->tp_alloc(type, 0));
  if (self == nullptr) return nullptr;
  self->client = nullptr;
  self->lock = PyThread_allocate_lock();
  self->next = PyThread_allocate_lock();
  if (self->lock == nullptr || self->next == nullptr) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  fp_client* made = nullptr;
  Py_BEGIN_ALLOW_THREADS made = fp_client_create(name, &options);
  Py_END_ALLOW_THREADS if (made == nullptr) {
    Py_DECREF(self);
    return raise(fp_error_code(nullptr), fp_error_text(nullptr));
  }
  self->client = made;
  return reinterpret_cast<PyObject*>(self);
}

void client_dealloc(PyObject* self) {
  fp_client_destroy(as<Client>(self)->client);
  for (const PyThread_type_lock lock : {as<Client>(self)->lock, as<Client>(self)->next})
    if (lock != nullptr) PyThread_free_lock(lock);
  free_object(self);
}

PyObject* client_close(PyObject* self, PyObject*) {
  const Use use(as<Client>(self));
  fp_client_destroy(as<Client>(self)->client);
  as<Client>(self)->client = nullptr;
  Py_RETURN_NONE;
}

PyObject* client_open(PyObject* self, PyObject* arguments) {
  fp_open_options options{};
  options.size = sizeof options;
  int now = 0;
  int last_values = 0;
  if (!PyArg_ParseTuple(arguments, "zzzzzpp", &options.url, &options.credentials, &options.headers,
                        &options.subprotocol, &options.venue, &now, &last_values))
    return nullptr;
  options.now = now != 0 ? 1 : 0;
  options.last_values = last_values != 0 ? 1 : 0;
  std::uint32_t request = 0;
  if (!with_client(self, [&](fp_client* client) {
        return fp_open_async(client, &options, &request) == FP_OK;
      }))
    return nullptr;
  return PyLong_FromUnsignedLong(request);
}

PyObject* client_close_feed(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  if (!PyArg_ParseTuple(arguments, "I", &feed)) return nullptr;
  std::uint32_t request = 0;
  if (!with_client(
          self, [&](fp_client* client) { return fp_close_async(client, feed, &request) == FP_OK; }))
    return nullptr;
  return PyLong_FromUnsignedLong(request);
}

PyObject* client_send(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  int opcode = 0;
  Py_buffer bytes{};
  if (!PyArg_ParseTuple(arguments, "Iy*i", &feed, &bytes, &opcode)) return nullptr;
  std::uint32_t request = 0;
  const bool well = with_client(self, [&](fp_client* client) {
    return fp_send_async(client, feed, bytes.buf, static_cast<std::size_t>(bytes.len), opcode,
                         &request) == FP_OK;
  });
  PyBuffer_Release(&bytes);
  return well ? PyLong_FromUnsignedLong(request) : nullptr;
}

PyObject* client_subscribe(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  const char* symbol = nullptr;
  const char* kind = nullptr;
  const char* text = nullptr;
  const char* release = nullptr;
  if (!PyArg_ParseTuple(arguments, "Isszz", &feed, &symbol, &kind, &text, &release)) return nullptr;
  std::uint32_t request = 0;
  if (!with_client(self, [&](fp_client* client) {
        return fp_subscribe_async(client, feed, symbol, kind, text, release, &request) == FP_OK;
      }))
    return nullptr;
  return PyLong_FromUnsignedLong(request);
}

PyObject* client_unsubscribe(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  const char* symbol = nullptr;
  const char* kind = nullptr;
  if (!PyArg_ParseTuple(arguments, "Iss", &feed, &symbol, &kind)) return nullptr;
  std::uint32_t request = 0;
  if (!with_client(self, [&](fp_client* client) {
        return fp_unsubscribe_async(client, feed, symbol, kind, &request) == FP_OK;
      }))
    return nullptr;
  return PyLong_FromUnsignedLong(request);
}

/// Takes a notice by `call` (fp_client*, fp_notice* -> 1, 0, -1), with or without the GIL. A tuple,
/// None, or null.
template <class Call>
PyObject* take_notice(PyObject* self, bool unlocked, Call&& call) {
  fp_notice notice{};
  std::string text;
  int taken = 0;
  const auto take = [&](fp_client* client) {
    taken = call(client, &notice);
    if (taken == 1) text = notice.text;
    return taken >= 0;
  };
  if (!(unlocked ? with_client_unlocked(self, take) : with_client(self, take))) return nullptr;
  if (taken == 0) Py_RETURN_NONE;
  PyObject* const said =
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  if (said == nullptr) return nullptr;
  return Py_BuildValue("IIIOIIN", notice.kind, notice.request, notice.feed,
                       notice.flag != 0 ? Py_True : Py_False, notice.error, notice.level, said);
}

PyObject* client_answer(PyObject* self, PyObject* arguments) {
  unsigned request = 0;
  long long timeout_ms = 0;
  if (!PyArg_ParseTuple(arguments, "IL", &request, &timeout_ms)) return nullptr;
  return take_notice(self, true, [&](fp_client* client, fp_notice* notice) {
    return fp_answer(client, request, timeout_ms, notice);
  });
}

PyObject* client_next_notice(PyObject* self, PyObject*) {
  return take_notice(self, false, fp_next_notice);
}

PyObject* client_wait(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  long long timeout_ns = 0;
  if (!PyArg_ParseTuple(arguments, "IL", &feed, &timeout_ns)) return nullptr;
  int there = 0;
  if (!with_client_unlocked(self, [&](fp_client* client) {
        return (there = fp_wait(client, feed, timeout_ns)) >= 0;
      }))
    return nullptr;
  return PyBool_FromLong(there);
}

PyObject* client_arm(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  if (!PyArg_ParseTuple(arguments, "I", &feed)) return nullptr;
  int armed = 0;
  if (!with_client(self, [&](fp_client* client) { return (armed = fp_arm(client, feed)) >= 0; }))
    return nullptr;
  return PyBool_FromLong(armed);
}

PyObject* client_fd(PyObject* self, PyObject*) {
  int fd = -1;
  if (!with_client(self, [&](fp_client* client) { return (fd = fp_fd(client)) >= 0; }))
    return nullptr;
  return PyLong_FromLong(fd);
}

PyObject* client_readable(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  if (!PyArg_ParseTuple(arguments, "I", &feed)) return nullptr;
  int there = 0;
  if (!with_client(self, [&](fp_client* client) {
        there = fp_readable(client, feed);
        return true;
      }))
    return nullptr;
  return PyBool_FromLong(there);
}

PyObject* client_lag(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  if (!PyArg_ParseTuple(arguments, "I", &feed)) return nullptr;
  std::uint64_t lag = 0;
  if (!with_client(self, [&](fp_client* client) {
        lag = fp_lag(client, feed);
        return true;
      }))
    return nullptr;
  return PyLong_FromUnsignedLongLong(lag);
}

/// (pid, version)
PyObject* client_server(PyObject* self, PyObject*) {
  long long pid = 0;
  std::string version;
  if (!with_client(self, [&](fp_client* client) {
        pid = fp_server_pid(client);
        version = fp_server_version(client);
        return true;
      }))
    return nullptr;
  return Py_BuildValue("Ls", pid, version.c_str());
}

PyObject* client_status(PyObject* self, PyObject*) {
  std::string status;
  if (!with_client_unlocked(self, [&](fp_client* client) {
        const char* const text = fp_status(client);
        if (text != nullptr) status = text;
        return text != nullptr;
      }))
    return nullptr;
  return PyUnicode_DecodeUTF8(status.data(), static_cast<Py_ssize_t>(status.size()), "replace");
}

PyObject* client_set_log_level(PyObject* self, PyObject* arguments) {
  int level = 0;
  if (!PyArg_ParseTuple(arguments, "i", &level)) return nullptr;
  if (!with_client_unlocked(
          self, [&](fp_client* client) { return fp_set_log_level(client, level) == FP_OK; }))
    return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef client_methods[] = {
    {"close", method(client_close), METH_NOARGS, nullptr},
    {"open", method(client_open), METH_VARARGS, nullptr},
    {"close_feed", method(client_close_feed), METH_VARARGS, nullptr},
    {"send", method(client_send), METH_VARARGS, nullptr},
    {"subscribe", method(client_subscribe), METH_VARARGS, nullptr},
    {"unsubscribe", method(client_unsubscribe), METH_VARARGS, nullptr},
    {"answer", method(client_answer), METH_VARARGS, nullptr},
    {"next_notice", method(client_next_notice), METH_NOARGS, nullptr},
    {"wait", method(client_wait), METH_VARARGS, nullptr},
    {"arm", method(client_arm), METH_VARARGS, nullptr},
    {"fd", method(client_fd), METH_NOARGS, nullptr},
    {"readable", method(client_readable), METH_VARARGS, nullptr},
    {"lag", method(client_lag), METH_VARARGS, nullptr},
    {"server", method(client_server), METH_NOARGS, nullptr},
    {"status", method(client_status), METH_NOARGS, nullptr},
    {"set_log_level", method(client_set_log_level), METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};
PyType_Slot client_slots[] = {{Py_tp_new, slot(client_new)},
                              {Py_tp_dealloc, slot(client_dealloc)},
                              {Py_tp_methods, client_methods},
                              {0, nullptr}};

}  // namespace

PyType_Spec client_spec = {"feedproxy._native.Client", sizeof(Client), 0, Py_TPFLAGS_DEFAULT,
                           client_slots};

}  // namespace feedproxy_native
