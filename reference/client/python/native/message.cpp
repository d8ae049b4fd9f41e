// Message: one message of the venue, where it lies in the log, and its stamps.
#include <cstdint>
#include <cstring>

#include "reference/client/python/native/objects.hpp"

namespace feedproxy_native {

Message* make_message(const fp_message& message, PyObject* owner) {
  Message* const made = PyObject_New(Message, message_type);
  if (made == nullptr) return nullptr;
  made->message = message;
  made->owner = owner;
  Py_INCREF(owner);
  return made;
}

PyObject* pack_stamps(PyObject*, PyObject* items) {
  PyObject* const fast = PySequence_Fast(items, "a sequence of messages is needed");
  if (fast == nullptr) return nullptr;
  const Py_ssize_t size = PySequence_Fast_GET_SIZE(fast);
  constexpr Py_ssize_t kRow = FP_STAMPS * sizeof(std::uint64_t);
  PyObject* const packed = PyByteArray_FromStringAndSize(nullptr, size * kRow);
  if (packed == nullptr) {
    Py_DECREF(fast);
    return nullptr;
  }
  Py_ssize_t rows = 0;
  for (Py_ssize_t i = 0; i < size; ++i) {
    PyObject* const item = PySequence_Fast_GET_ITEM(fast, i);
    if (!Py_IS_TYPE(item, message_type)) continue;
    std::memcpy(PyByteArray_AS_STRING(packed) + rows++ * kRow, as<Message>(item)->message.stamps,
                kRow);
  }
  Py_DECREF(fast);
  if (PyByteArray_Resize(packed, rows * kRow) == 0) return packed;
  Py_DECREF(packed);
  return nullptr;
}

namespace {

void message_dealloc(PyObject* self) {
  Py_DECREF(as<Message>(self)->owner);
  free_object(self);
}

/// The publisher may be writing there: what is made of these bytes is made of a copy, and told only
/// if it is whole.
PyObject* message_bytes(PyObject* self, PyObject*) {
  const fp_message& message = as<Message>(self)->message;
  PyObject* const copy =
      PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(message.length));
  if (copy == nullptr) return nullptr;
  if (message.length > 0) std::memcpy(PyBytes_AS_STRING(copy), message.payload, message.length);
  if (fp_message_intact(&message) != 0) return copy;
  Py_DECREF(copy);
  PyErr_Format(lapped_class,
               "message %llu is gone: the publisher has come round the ring since it was read",
               static_cast<unsigned long long>(message.sequence));
  return nullptr;
}

PyObject* message_text(PyObject* self, void*) {
  PyObject* const copy = message_bytes(self, nullptr);
  if (copy == nullptr) return nullptr;
  PyObject* const text =
      PyUnicode_DecodeUTF8(PyBytes_AS_STRING(copy), PyBytes_GET_SIZE(copy), "strict");
  Py_DECREF(copy);
  return text;
}

PyObject* message_intact(PyObject* self, PyObject*) {
  return PyBool_FromLong(fp_message_intact(&as<Message>(self)->message));
}

PyObject* message_payload(PyObject* self, void*) { return PyMemoryView_FromObject(self); }

int message_buffer(PyObject* self, Py_buffer* view, int flags) {
  const fp_message& message = as<Message>(self)->message;
  return PyBuffer_FillInfo(view, self, const_cast<std::uint8_t*>(message.payload),
                           static_cast<Py_ssize_t>(message.length), 1, flags);
}

PyObject* message_stamps(PyObject* self, void*) {
  PyObject* const stamps = PyStructSequence_New(stamps_type);
  if (stamps == nullptr) return nullptr;
  for (Py_ssize_t i = 0; i < FP_STAMPS; ++i) {
    PyObject* const ticks = PyLong_FromUnsignedLongLong(as<Message>(self)->message.stamps[i]);
    if (ticks == nullptr) {
      Py_DECREF(stamps);
      return nullptr;
    }
    PyStructSequence_SetItem(stamps, i, ticks);
  }
  return stamps;
}

PyObject* message_repr(PyObject* self) {
  const fp_message& message = as<Message>(self)->message;
  return PyUnicode_FromFormat("<feedproxy.Message %llu, %llu bytes>",
                              static_cast<unsigned long long>(message.sequence),
                              static_cast<unsigned long long>(message.length));
}

PyObject* message_sequence(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(as<Message>(self)->message.sequence);
}
PyObject* message_topic(PyObject* self, void*) {
  return PyLong_FromUnsignedLong(as<Message>(self)->message.topic);
}
PyObject* message_opcode(PyObject* self, void*) {
  return PyLong_FromLong(as<Message>(self)->message.opcode);
}
PyObject* message_assembled(PyObject* self, void*) {
  return PyBool_FromLong(as<Message>(self)->message.assembled);
}
PyObject* message_last_value(PyObject* self, void*) {
  return PyBool_FromLong(as<Message>(self)->message.last_value);
}
PyObject* message_feed_id(PyObject* self, void*) {
  return PyLong_FromUnsignedLong(as<Message>(self)->message.feed);
}

PyMethodDef message_methods[] = {
    {"bytes", method(message_bytes), METH_NOARGS,
     "A copy of the payload. Raises Lapped if it is no longer there."},
    {"intact", method(message_intact), METH_NOARGS,
     "True if everything read from the payload up to now was the message."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef message_members[] = {
    {"payload", message_payload, nullptr, "A read-only view of the bytes where they lie.", nullptr},
    {"text", message_text, nullptr, "A copy of the payload, decoded. Raises Lapped.", nullptr},
    {"stamps", message_stamps, nullptr, "TSC ticks of the six stages; 0: absent.", nullptr},
    {"sequence", message_sequence, nullptr, "From 1, without a hole but for gaps.", nullptr},
    {"topic", message_topic, nullptr, "The topic's number; 0: none.", nullptr},
    {"opcode", message_opcode, nullptr, "1: text, 2: binary.", nullptr},
    {"assembled", message_assembled, nullptr,
     "A copy: put together from fragments, or a last value.", nullptr},
    {"last_value", message_last_value, nullptr,
     "Published before this client joined: the newest of its topic then. A copy.", nullptr},
    {"feed_id", message_feed_id, nullptr, "Feed.id of its feed.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot message_slots[] = {{Py_tp_new, slot(no_new)},
                               {Py_tp_dealloc, slot(message_dealloc)},
                               {Py_tp_repr, slot(message_repr)},
                               {Py_tp_methods, message_methods},
                               {Py_tp_getset, message_members},
                               {Py_bf_getbuffer, slot(message_buffer)},
                               {0, nullptr}};

PyStructSequence_Field stamps_fields[] = {{"nic", "the kernel or NIC received the last byte"},
                                          {"wake", "the proxy's loop woke"},
                                          {"read", "the read of this chunk began"},
                                          {"plain", "the plaintext is in the log"},
                                          {"parsed", "the frame's boundary is found"},
                                          {"handler", "the message was handed on"},
                                          {nullptr, nullptr}};

}  // namespace

PyStructSequence_Desc stamps_description = {"feedproxy.Stamps",
                                            "TSC ticks of the six stages of a message; 0: absent.",
                                            stamps_fields, FP_STAMPS};

PyType_Spec message_spec = {"feedproxy.Message", sizeof(Message), 0, Py_TPFLAGS_DEFAULT,
                            message_slots};

}  // namespace feedproxy_native
