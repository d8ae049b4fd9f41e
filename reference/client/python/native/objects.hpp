#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "reference/client/c/feedproxy_client.h"

/// The objects of feedproxy._native, and what all of its files need.
///
/// Threads: each client has a lock, which a call takes before it touches the client; calls that may
/// wait give up the GIL. No Python code runs while a lock is held: what is made then are objects
/// that the garbage collector does not track.
/// Memory: a Message holds the Log it points into (or a copy), so its payload cannot dangle,
/// whatever is closed.
namespace feedproxy_native {

// Set once, when the module is imported.
inline PyTypeObject* log_type = nullptr;
inline PyTypeObject* message_type = nullptr;
inline PyTypeObject* client_type = nullptr;
inline PyTypeObject* stamps_type = nullptr;
inline PyObject* error_class = nullptr;   // feedproxy.Error(code, text)
inline PyObject* lapped_class = nullptr;  // feedproxy.Lapped(text)
inline PyObject* idle_name = nullptr;     // "_idle"
inline PyObject* gap_name = nullptr;      // "_gap"

// What they are made of: log.cpp, message.cpp, client.cpp, feed.cpp.
extern PyType_Spec log_spec;
extern PyType_Spec message_spec;
extern PyType_Spec client_spec;
extern PyType_Spec feed_spec;
extern PyStructSequence_Desc stamps_description;

template <class Function>
PyCFunction method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}
template <class Function>
void* slot(Function* function) {
  return reinterpret_cast<void*>(function);
}
template <class Object>
Object* as(PyObject* object) {
  return reinterpret_cast<Object*>(object);
}

inline PyObject* raise(fp_error code, const char* text) {
  PyObject* const error = PyObject_CallFunction(error_class, "is", static_cast<int>(code), text);
  if (error == nullptr) return nullptr;
  PyErr_SetObject(error_class, error);
  Py_DECREF(error);
  return nullptr;
}

inline void free_object(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

/// For Py_tp_new of a type that only this module makes objects of.
inline PyObject* no_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyErr_Format(PyExc_TypeError, "%s cannot be made by hand", type->tp_name);
  return nullptr;
}

/// A mapped feed log, as long as somebody points into it.
struct Log {
  PyObject base;
  fp_log* log;
};
/// A new reference that retains the log; null: an exception is set.
PyObject* make_log(fp_log* log);

struct Message {
  PyObject base;
  PyObject* owner;  // a Log, or bytes: of what payload points into
  fp_message message;
};
/// Holds the owner. null: an exception is set.
Message* make_message(const fp_message& message, PyObject* owner);
/// The stamps of the messages among the items, 6 native 64-bit words each.
PyObject* pack_stamps(PyObject*, PyObject* items);

struct Client {
  PyObject base;
  fp_client* client;        // null: closed
  PyThread_type_lock lock;  // whose turn it is
  // Who has it waits for the turn: else one that comes back at once would always be first.
  PyThread_type_lock next;
};

}  // namespace feedproxy_native
