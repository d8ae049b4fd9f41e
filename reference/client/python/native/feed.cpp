// Feed: one feed of a client, read in batches and handed out one by one.
#include <cstddef>
#include <cstdint>

#include "reference/client/python/native/use_client.hpp"

namespace feedproxy_native {
namespace {

constexpr std::size_t kBatch = 64;  // messages that a feed takes from the log at a time

struct Feed {
  PyObject base;
  Client* client;
  fp_feed id;
  PyObject* log;        // the Log that messages_ point into
  PyObject* assembled;  // bytes: the payload of the last message, if that one was assembled
  std::size_t next;     // of messages
  std::size_t count;
  fp_pull behind;  // what comes behind them: a gap that is not told yet, the end, or nothing known
  fp_gap gap;
  fp_message messages[kBatch];
};

PyObject* feed_new(PyTypeObject* type, PyObject* arguments, PyObject*) {
  PyObject* client = nullptr;
  unsigned id = 0;
  if (!PyArg_ParseTuple(arguments, "O!I", client_type, &client, &id)) return nullptr;
  Feed* const self = as<Feed>(type->tp_alloc(type, 0));  // all zeros
  if (self == nullptr) return nullptr;
  Py_INCREF(client);
  self->client = as<Client>(client);
  self->id = id;
  self->behind = FP_PULL_NONE;
  return reinterpret_cast<PyObject*>(self);
}

int feed_init(PyObject*, PyObject*, PyObject*) { return 0; }

void feed_dealloc(PyObject* self) {
  Feed* const feed = as<Feed>(self);
  Py_XDECREF(feed->client);
  Py_XDECREF(feed->log);
  Py_XDECREF(feed->assembled);
  free_object(self);
}

/// Fills the feed's batch when it is empty. false: an exception is set. No Python code runs here,
/// so that two threads that read the same feed find it whole.
bool refill(Feed* feed) {
  Outcome failure;
  {
    const Use use(feed->client);
    if (feed->next < feed->count || feed->behind != FP_PULL_NONE) return true;  // another did
    fp_client* const client = feed->client->client;
    feed->next = feed->count = 0;
    if (client == nullptr) {
      feed->behind = FP_PULL_CLOSED;
      return true;
    }
    std::size_t count = 0;
    const fp_pull pulled = fp_read(client, feed->id, feed->messages, kBatch, &count, &feed->gap);
    if (pulled == FP_PULL_ERROR) {
      failure.take(client);
    } else {
      feed->behind = pulled == FP_PULL_MESSAGE ? FP_PULL_NONE : pulled;
      fp_message* const last = count == 0 ? nullptr : &feed->messages[count - 1];
      if (last != nullptr && last->assembled != 0) {
        PyObject* const copy = PyBytes_FromStringAndSize(
            reinterpret_cast<const char*>(last->payload), static_cast<Py_ssize_t>(last->length));
        if (copy == nullptr) return false;
        Py_XSETREF(feed->assembled, copy);
        last->payload = reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(copy));
      }
      fp_log* const log = count == 0 ? nullptr : feed->messages[0].log;
      if (log != nullptr && (feed->log == nullptr || as<Log>(feed->log)->log != log)) {
        PyObject* const made = make_log(log);
        if (made == nullptr) return false;
        Py_XSETREF(feed->log, made);
      }
      feed->count = count;
      return true;
    }
  }
  failure.raise_it();
  return false;
}

PyObject* take_one(Feed* feed) {
  const fp_message& message = feed->messages[feed->next];
  PyObject* const owner = message.assembled != 0 ? feed->assembled : feed->log;
  Message* const made = make_message(message, owner);
  if (made != nullptr) ++feed->next;
  return reinterpret_cast<PyObject*>(made);
}

/// Tells of the gap behind the batch: what self._gap(reason, missed_messages, missed_bytes)
/// returns. Unknown: None.
PyObject* tell_gap(PyObject* self) {
  Feed* const feed = as<Feed>(self);
  feed->behind = FP_PULL_NONE;
  const fp_gap gap = feed->gap;
  const auto number = [](std::uint64_t value) -> PyObject* {
    if (value != FP_UNKNOWN) return PyLong_FromUnsignedLongLong(value);
    Py_RETURN_NONE;
  };
  PyObject* const reason = PyLong_FromUnsignedLong(gap.reason);
  PyObject* const messages = number(gap.missed_messages);
  PyObject* const bytes = number(gap.missed_bytes);
  PyObject* told = nullptr;
  if (reason != nullptr && messages != nullptr && bytes != nullptr)
    told = PyObject_CallMethodObjArgs(self, gap_name, reason, messages, bytes, nullptr);
  Py_XDECREF(reason);
  Py_XDECREF(messages);
  Py_XDECREF(bytes);
  return told;
}

/// The next message; None: there is nothing now; False: nothing more will come. Gaps are told on
/// the way.
PyObject* feed_step(PyObject* self, PyObject*) {
  Feed* const feed = as<Feed>(self);
  for (;;) {
    if (feed->next < feed->count) return take_one(feed);
    if (feed->behind == FP_PULL_CLOSED) Py_RETURN_FALSE;
    if (feed->behind == FP_PULL_GAP) {
      PyObject* const told = tell_gap(self);
      if (told == nullptr) return nullptr;
      Py_DECREF(told);
    }
    if (!refill(feed)) return nullptr;
    if (feed->next == feed->count && feed->behind == FP_PULL_NONE) Py_RETURN_NONE;
  }
}

/// __next__: waits by self._idle(), which may raise.
PyObject* feed_iternext(PyObject* self) {
  Feed* const feed = as<Feed>(self);
  if (feed->next < feed->count) return take_one(feed);
  for (;;) {
    PyObject* const found = feed_step(self, nullptr);
    if (found == nullptr) return nullptr;
    if (found == Py_False) {
      Py_DECREF(found);
      return nullptr;  // the end
    }
    if (found != Py_None) return found;
    Py_DECREF(found);
    PyObject* const waited = PyObject_CallMethodObjArgs(self, idle_name, nullptr);
    if (waited == nullptr) return nullptr;
    Py_DECREF(waited);
  }
}

/// (max) -> a list of at most max messages that are there now; a gap ends it, and is its last
/// element.
PyObject* feed_take(PyObject* self, PyObject* arguments) {
  Feed* const feed = as<Feed>(self);
  Py_ssize_t wanted = 0;
  if (!PyArg_ParseTuple(arguments, "n", &wanted)) return nullptr;
  PyObject* const list = PyList_New(0);
  if (list == nullptr) return nullptr;
  while (PyList_GET_SIZE(list) < wanted) {
    PyObject* item = nullptr;
    bool last = false;
    if (feed->next < feed->count) {
      item = take_one(feed);
    } else if (feed->behind == FP_PULL_GAP) {
      item = tell_gap(self);
      last = true;
    } else {
      if (feed->behind == FP_PULL_CLOSED) break;
      if (!refill(feed)) {
        Py_DECREF(list);
        return nullptr;
      }
      if (feed->next == feed->count && feed->behind == FP_PULL_NONE) break;
      continue;
    }
    if (item == nullptr || PyList_Append(list, item) != 0) {
      Py_XDECREF(item);
      Py_DECREF(list);
      return nullptr;
    }
    Py_DECREF(item);
    if (last) break;
  }
  return list;
}

PyObject* feed_drop(PyObject* self, PyObject*) {
  Feed* const feed = as<Feed>(self);
  feed->next = feed->count = 0;
  feed->behind = FP_PULL_CLOSED;
  Py_CLEAR(feed->log);
  Py_CLEAR(feed->assembled);
  Py_RETURN_NONE;
}

PyObject* feed_pending(PyObject* self, PyObject*) {
  return PyLong_FromSize_t(as<Feed>(self)->count - as<Feed>(self)->next);
}

PyObject* feed_ended(PyObject* self, PyObject*) {
  const Feed* const feed = as<Feed>(self);
  return PyBool_FromLong(feed->next == feed->count && feed->behind == FP_PULL_CLOSED ? 1 : 0);
}

PyMethodDef feed_methods[] = {{"_step", method(feed_step), METH_NOARGS, nullptr},
                              {"_take", method(feed_take), METH_VARARGS, nullptr},
                              {"_drop", method(feed_drop), METH_NOARGS, nullptr},
                              {"_pending", method(feed_pending), METH_NOARGS, nullptr},
                              {"_ended", method(feed_ended), METH_NOARGS, nullptr},
                              {nullptr, nullptr, 0, nullptr}};
PyType_Slot feed_slots[] = {{Py_tp_new, slot(feed_new)},
                            {Py_tp_init, slot(feed_init)},
                            {Py_tp_dealloc, slot(feed_dealloc)},
                            {Py_tp_iter, slot(PyObject_SelfIter)},
                            {Py_tp_iternext, slot(feed_iternext)},
                            {Py_tp_methods, feed_methods},
                            {0, nullptr}};

}  // namespace

PyType_Spec feed_spec = {"feedproxy._native.Feed", sizeof(Feed), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, feed_slots};

}  // namespace feedproxy_native
