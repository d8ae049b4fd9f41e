// feedproxy._native: the C interface as Python objects. The package's Python modules make the API.
#include "reference/client/python/native/objects.hpp"

namespace feedproxy_native {
namespace {

PyMethodDef module_methods[] = {{"pack_stamps", method(pack_stamps), METH_O, nullptr},
                                {nullptr, nullptr, 0, nullptr}};

PyModuleDef module_definition = {PyModuleDef_HEAD_INIT,
                                 "feedproxy._native",
                                 "The C interface of feedproxy's local client.",
                                 -1,
                                 module_methods,
                                 nullptr,
                                 nullptr,
                                 nullptr,
                                 nullptr};

bool add_type(PyObject* module, PyType_Spec& spec, PyTypeObject*& type) {
  type = as<PyTypeObject>(PyType_FromSpec(&spec));
  return type != nullptr && PyModule_AddType(module, type) == 0;
}

bool set_up(PyObject* module) {
  PyObject* const errors = PyImport_ImportModule("feedproxy._errors");
  if (errors == nullptr) return false;
  error_class = PyObject_GetAttrString(errors, "Error");
  lapped_class = PyObject_GetAttrString(errors, "Lapped");
  Py_DECREF(errors);
  idle_name = PyUnicode_InternFromString("_idle");
  gap_name = PyUnicode_InternFromString("_gap");
  stamps_type = PyStructSequence_NewType(&stamps_description);
  PyTypeObject* feed_type = nullptr;
  return error_class != nullptr && lapped_class != nullptr && idle_name != nullptr &&
         gap_name != nullptr && stamps_type != nullptr &&
         PyModule_AddType(module, stamps_type) == 0 && add_type(module, log_spec, log_type) &&
         add_type(module, message_spec, message_type) &&
         add_type(module, client_spec, client_type) && add_type(module, feed_spec, feed_type);
}

}  // namespace
}  // namespace feedproxy_native

PyMODINIT_FUNC PyInit__native() {
  PyObject* const module = PyModule_Create(&feedproxy_native::module_definition);
  if (module != nullptr && feedproxy_native::set_up(module)) return module;
  Py_XDECREF(module);
  return nullptr;
}
