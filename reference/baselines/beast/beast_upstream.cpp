#include "reference/baselines/beast/beast_upstream.hpp"

#include <openssl/x509v3.h>

#include <boost/asio/ssl/context.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <chrono>
#include <type_traits>
#include <utility>

#include "reference/program/exit_codes.hpp"
#include "reference/websocket/url.hpp"

namespace feedbench::baselines {
namespace {

namespace ssl = asio::ssl;
using feedbench::websocket::WsUrl;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;

template <class NextLayer>
class UpstreamOver final : public Upstream {
 public:
  static constexpr bool kTls = std::is_same_v<NextLayer, TlsStream>;

  template <class... Arguments>
  UpstreamOver(asio::io_context& io, WsUrl url, UpstreamEvents events, Arguments&&... arguments)
      : url_(std::move(url)),
        authority_(url_.host_header()),
        events_(std::move(events)),
        resolver_(io),
        ws_(io, std::forward<Arguments>(arguments)...) {}

  void connect() override {
    resolver_.async_resolve(
        url_.host, std::to_string(url_.port),
        [this](beast::error_code error, const tcp::resolver::results_type& results) {
          if (error) return fail("cannot be found: " + error.message());
          on_resolved(results);
        });
  }

  void close() override {
    resolver_.cancel();
    if (ws_.is_open()) {
      ws_.async_close(ws::close_code::normal, [](beast::error_code) {});
    } else {
      beast::get_lowest_layer(ws_).close();
    }
  }

 private:
  void on_resolved(const tcp::resolver::results_type& results) {
    beast::get_lowest_layer(ws_).expires_after(std::chrono::seconds(30));  // connect and TLS
    beast::get_lowest_layer(ws_).async_connect(results, [this](beast::error_code error,
                                                               const tcp::endpoint&) {
      if (error)
        return fail("cannot be reached: " + error.message() + " (is the exchange running there?)");
      beast::get_lowest_layer(ws_).socket().set_option(tcp::no_delay(true));
      if constexpr (kTls) {
        start_tls();
      } else {
        start_websocket();
      }
    });
  }

  void start_tls() {
    SSL* const native = ws_.next_layer().native_handle();
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(native), url_.host.c_str()) != 1) {
      SSL_set1_host(native, url_.host.c_str());
      SSL_set_tlsext_host_name(native, url_.host.c_str());
    }
    ws_.next_layer().async_handshake(
        ssl::stream_base::client, [this, native](beast::error_code error) {
          if (!error) return start_websocket();
          const long verdict = SSL_get_verify_result(native);
          if (verdict == X509_V_OK) return fail("TLS handshake failed: " + error.message());
          fail(std::string("its certificate is not trusted: ") +
                   X509_verify_cert_error_string(verdict) + " (name the authority with --ca)",
               program::kExitRefused);
        });
  }

  void start_websocket() {
    events_.opened();
    beast::get_lowest_layer(ws_).expires_never();
    ws_.set_option(ws::stream_base::timeout::suggested(beast::role_type::client));
    ws_.async_handshake(response_, authority_, url_.target, [this](beast::error_code error) {
      if (error == ws::error::upgrade_declined) {
        return fail("did not upgrade to WebSocket: it answered " +
                        std::to_string(response_.result_int()) + " " +
                        std::string(response_.reason()) + " (check the path in --upstream)",
                    program::kExitRefused);
      }
      if (error) return fail("WebSocket handshake failed: " + error.message());
      events_.ready();
      read();
    });
  }

  void read() {
    ws_.async_read(buffer_, [this](beast::error_code error, std::size_t) {
      if (error) return events_.lost(error.message());
      events_.message(std::make_shared<const std::string>(beast::buffers_to_string(buffer_.data())),
                      ws_.got_text());
      buffer_.consume(buffer_.size());
      read();
    });
  }

  void fail(const std::string& what, int exit_code = program::kExitCannotStart) {
    events_.failed({exit_code, "upstream " + authority_ + " " + what});
  }

  WsUrl url_;
  std::string authority_;
  UpstreamEvents events_;
  tcp::resolver resolver_;
  ws::stream<NextLayer> ws_;
  ws::response_type response_;
  beast::flat_buffer buffer_;
};

/// Owns the context that its stream refers to.
class TlsUpstream final : public Upstream {
 public:
  TlsUpstream(asio::io_context& io, WsUrl url, UpstreamEvents events, ssl::context context)
      : context_(std::move(context)), stream_(io, std::move(url), std::move(events), context_) {}
  void connect() override { stream_.connect(); }
  void close() override { stream_.close(); }

 private:
  ssl::context context_;
  UpstreamOver<TlsStream> stream_;
};

}  // namespace

transports::Expected<std::unique_ptr<Upstream>> make_upstream(asio::io_context& io,
                                                              const BeastOptions& options,
                                                              UpstreamEvents events) {
  auto url = feedbench::websocket::parse_url(options.upstream);
  if (!url) return tl::make_unexpected(url.error());
  if (!url->tls)
    return std::make_unique<UpstreamOver<beast::tcp_stream>>(io, *url, std::move(events));

  ssl::context context(ssl::context::tls_client);
  context.set_verify_mode(ssl::verify_peer);
  beast::error_code error;
  if (options.ca_file.empty()) {
    context.set_default_verify_paths(error);
  } else {
    context.load_verify_file(options.ca_file, error);
  }
  if (error) {
    return tl::make_unexpected(transports::Error{"read authorities from " + options.ca_file + ": " +
                                                     error.message() + " (--ca takes a PEM file)",
                                                 0});
  }
  return std::make_unique<TlsUpstream>(io, *url, std::move(events), std::move(context));
}

}  // namespace feedbench::baselines
