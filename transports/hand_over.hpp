#pragma once

#include <concepts>
#include <vector>

#include "transports/rings/descriptor.hpp"
#include "transports/transport.hpp"

/// What the transports over kernel sockets can do besides: pass a live connection, or a listening socket, to another
/// process, and go on with one that came from there. The one place where descriptors show (axiom 10 of transport.hpp).
///
/// hand_over(conn): ends a connection here and nowhere else. What was received comes first; then on_close() with
/// CloseReason::handed_over, from within which take_handed_over() gives the socket: the next byte read from it is the one
/// after the last that on_receive() was given. A socket that is not taken is closed. false, and nothing happens: the
/// handle is dead, not open yet or closing, or a send is outstanding (cancel it first). If the peer ends the connection
/// meanwhile, on_close() says so instead, and there is nothing to take.
///
/// adopt(connection, options): a connection that is open already; on_open(conn, false) follows, as after connect().
/// errors: not a connected TCP socket, no room in the table.
///
/// hand_over_listeners(), adopt_listener(): whoever connects meanwhile waits in the socket's backlog.
///
/// thread: the polling one. Cold: each may allocate and makes a few system calls.
namespace feedbench::transports {

template <class T>
concept HandsOver = Transport<T> &&
    requires(T t, Conn conn, rings::Descriptor descriptor, const ConnOptions& options) {
  { t.hand_over(conn) } -> std::same_as<bool>;
  { t.take_handed_over() } -> std::same_as<rings::Descriptor>;
  { t.adopt(std::move(descriptor), options) } -> std::same_as<Expected<Conn>>;
  { t.hand_over_listeners() } -> std::same_as<std::vector<rings::Descriptor>>;
  { t.adopt_listener(std::move(descriptor), options) } -> std::same_as<Expected<Endpoint>>;
};

}  // namespace feedbench::transports
