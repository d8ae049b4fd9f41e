// Log: a mapped feed log, as long as somebody points into it.
#include "reference/client/python/native/objects.hpp"

namespace feedproxy_native {

PyObject* make_log(fp_log* log) {
  Log* const made = PyObject_New(Log, log_type);
  if (made != nullptr) made->log = fp_log_retain(log);
  return reinterpret_cast<PyObject*>(made);
}

namespace {

void log_dealloc(PyObject* self) {
  fp_log_release(as<Log>(self)->log);
  free_object(self);
}

PyType_Slot log_slots[] = {
    {Py_tp_new, slot(no_new)}, {Py_tp_dealloc, slot(log_dealloc)}, {0, nullptr}};

}  // namespace

PyType_Spec log_spec = {"feedproxy._native.Log", sizeof(Log), 0, Py_TPFLAGS_DEFAULT, log_slots};

}  // namespace feedproxy_native
