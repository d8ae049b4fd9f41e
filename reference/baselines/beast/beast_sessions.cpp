#include "reference/baselines/beast/beast_sessions.hpp"

#include <utility>

namespace feedbench::baselines {

void Room::leave(Session* session) {
  sessions_.erase(session);
  if (sessions_.empty() && emptied_) std::exchange(emptied_, nullptr)();
}

// Sessions leave from completion handlers alone, never from inside send() or close(): the set
// stands still here.
void Room::broadcast(const Message& message, bool text) {
  for (Session* session : sessions_) session->send(message, text);
}

void Room::close_all(ws::close_code code, std::function<void()> emptied) {
  if (sessions_.empty()) return emptied();
  emptied_ = std::move(emptied);
  for (Session* session : sessions_) session->close(code);
}

Session::Session(tcp::socket&& socket, Room& room) : ws_(std::move(socket)), room_(room) {}

Session::~Session() { room_.leave(this); }

void Session::run() {
  beast::error_code ignored;  // a socket that is closed already fails in async_accept
  beast::get_lowest_layer(ws_).socket().set_option(tcp::no_delay(true), ignored);
  ws_.set_option(ws::stream_base::timeout::suggested(beast::role_type::server));
  ws_.auto_fragment(false);
  ws_.async_accept([self = shared_from_this()](beast::error_code error) {
    if (error) return;
    self->room_.join(self.get());
    ++self->room_.counters().clients_accepted;
    self->read();
  });
}

// Nothing is expected from clients; reading is what answers their pings and closes.
void Session::read() {
  ws_.async_read(buffer_, [self = shared_from_this()](beast::error_code error, std::size_t) {
    if (error) return self->room_.leave(self.get());
    self->buffer_.consume(self->buffer_.size());
    self->read();
  });
}

void Session::send(const Message& message, bool text) {
  if (closing_) return;
  if (queue_.size() >= room_.queue_messages_max()) {
    ++room_.counters().clients_evicted;
    closing_ = true;
    beast::get_lowest_layer(ws_).close();
    return;
  }
  queue_.push_back({message, text});
  if (queue_.size() == 1) write();
}

void Session::write() {
  ws_.text(queue_.front().text);
  ws_.async_write(asio::buffer(*queue_.front().message),
                  [self = shared_from_this()](beast::error_code error, std::size_t) {
                    if (error) return self->room_.leave(self.get());
                    ++self->room_.counters().messages_delivered;
                    self->queue_.pop_front();
                    if (!self->queue_.empty()) return self->write();
                    if (self->closing_) self->finish();
                  });
}

void Session::close(ws::close_code code) {
  if (closing_) return;
  closing_ = true;
  close_code_ = code;
  if (queue_.empty()) finish();
}

void Session::finish() {
  ws_.async_close(close_code_, [self = shared_from_this()](beast::error_code) {
    self->room_.leave(self.get());
  });
}

Listener::Listener(asio::io_context& io, const tcp::endpoint& endpoint, Room& room)
    : acceptor_(io), room_(room) {
  acceptor_.open(endpoint.protocol());
  acceptor_.set_option(asio::socket_base::reuse_address(true));
  acceptor_.bind(endpoint);
  acceptor_.listen(asio::socket_base::max_listen_connections);
  accept();
}

void Listener::accept() {
  acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error) std::make_shared<Session>(std::move(socket), room_)->run();
    accept();
  });
}

}  // namespace feedbench::baselines
