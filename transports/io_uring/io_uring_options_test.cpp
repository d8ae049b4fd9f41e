#include "transports/io_uring/io_uring_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "transports/io_uring/io_uring_transport.hpp"

namespace feedbench::transports {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string fault(const std::vector<std::string>& words) {
  const auto options = parse_io_uring_options(words);
  return options ? "accepted" : options.error().message;
}

TEST(IoUringOptions, AreReadAndSaidInTheSameWords) {
  EXPECT_EQ(parse_io_uring_options({}).value(), IoUringOptions{});
  EXPECT_EQ(to_string(IoUringOptions{}), "");
  const auto options =
      parse_io_uring_options({"registered_files", "receive_bundles", "incremental_buffers",
                              "zero_copy=65536", "submission_thread=1", "no_deferred_task_run"});
  ASSERT_TRUE(options);
  EXPECT_EQ(*options, (IoUringOptions{.deferred_task_run = false,
                                      .registered_files = true,
                                      .receive_bundles = true,
                                      .incremental_buffers = true,
                                      .zero_copy_bytes = 65536,
                                      .submission_thread = true,
                                      .submission_core = 1}));
  EXPECT_EQ(to_string(*options),
            "registered_files, receive_bundles, incremental_buffers, submission_thread=1, "
            "no_deferred_task_run, zero_copy=65536");
}

TEST(IoUringOptions, SayWhatIsWrong) {
  EXPECT_THAT(fault({"bundles"}), HasSubstr("bundles: there is no such option; known: reg"));
  EXPECT_THAT(fault({"zero_copy"}), HasSubstr("zero_copy: says from how many bytes"));
  EXPECT_THAT(fault({"zero_copy=0"}), HasSubstr("above zero"));
  EXPECT_THAT(fault({"zero_copy=64k"}), HasSubstr("above zero"));
  EXPECT_THAT(fault({"registered_files=on"}), HasSubstr("takes no value"));
  EXPECT_THAT(fault({"submission_thread=-1"}), HasSubstr("a core"));
  EXPECT_THAT(fault({"x=1"}), HasSubstr("no such option"));
  EXPECT_THAT(fault({"zero_copy=1", "zero_copy=2"}), HasSubstr("zero_copy=2: given twice"));
  EXPECT_THAT(fault({"submission_thread", "submission_thread=1"}), HasSubstr("given twice"));
  EXPECT_THAT(fault({""}), HasSubstr("no such option"));
}

/// The message of the Error that making the transport throws; "" if it does not.
std::string refusal(const TransportOptions& options, const IoUringOptions& ring) {
  try {
    const IoUringTransport transport(options, ring);
    return {};
  } catch (const Error& error) {
    return error.message;
  }
}

TEST(IoUringOptions, OfWhichTheKernelHasTooFewAreRefusedByName) {
  if (const std::string why = refusal({}, {}); !why.empty())
    GTEST_SKIP() << "io_uring not available: " << why;
  EXPECT_THAT(refusal({.connections_max = 16'000'000}, {.registered_files = true}),
              HasSubstr("registered_files for 16000000 connections"));
  EXPECT_THAT(refusal({}, {.submission_thread = true, .submission_core = 60'000}),
              AllOf(HasSubstr("with a submission thread on core 60000"),
                    HasSubstr("is there such a core")));
}

TEST(IoUringOptions, StandInTheMode) {
  if (const std::string why = refusal({}, {}); !why.empty())
    GTEST_SKIP() << "io_uring not available: " << why;
  const IoUringTransport transport({.connections_max = 16},
                                   {.registered_files = true, .zero_copy_bytes = 4096});
  EXPECT_THAT(transport.mode(), HasSubstr("registered_files, zero_copy=4096"));
}

TEST(IoUringOptions, StampsDoNotGoWithIncrementalBuffers) {
  if (const std::string why = refusal({}, {.incremental_buffers = true}); !why.empty())
    GTEST_SKIP() << "io_uring: incremental_buffers not available: " << why;
  IoUringTransport transport({.connections_max = 16}, {.incremental_buffers = true});
  const auto refused = transport.listen({}, {.nic_stamps = true});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("cannot be had with incremental_buffers"));
  EXPECT_TRUE(transport.listen({}, {.nic_stamps = true, .lend_memory = true}));
}

/// System calls of fifty turns of a spinning transport with one connection that connect() made, nothing arriving.
std::uint64_t calls_of_idle_turns(bool look) {
  struct : ArchetypeHandler {
    std::array<std::byte, 4096> space{};
    unsigned opened = 0;
    std::size_t received = 0;
    Conn far;
    void on_open(Conn conn, bool accepted) {
      ++opened;
      if (accepted) far = conn;
    }
    void on_receive(Conn, std::span<std::byte> bytes, const RxStamps&) { received += bytes.size(); }
    std::span<std::byte> receive_space(Conn) { return space; }
  } handler;
  IoUringTransport transport({.wait = Wait::spin, .connections_max = 16, .spin_on_connected = look},
                             {});
  const Endpoint endpoint = transport.listen({}, {}).value();
  transport.connect(endpoint, {.lend_memory = true}).value();
  while (handler.opened < 2) transport.poll(handler, MonotonicInstant{0});
  // The receive that a new connection waits in ends with the first bytes.
  const std::byte first{};
  const ConstRange range{&first, 1};
  EXPECT_EQ(transport.send(handler.far, {&range, 1}), SendStatus::pending);
  while (handler.received == 0) transport.poll(handler, MonotonicInstant{0});
  for (int i = 0; i < 10; ++i) transport.poll(handler, MonotonicInstant{0});
  const std::uint64_t before = transport.counters().system_calls;
  for (int i = 0; i < 50; ++i) transport.poll(handler, MonotonicInstant{0});
  return transport.counters().system_calls - before;
}

TEST(IoUringTransport, LooksForTheBytesOfOneUpstreamInsteadOfBeingTold) {
  if (const std::string why = refusal({}, {}); !why.empty())
    GTEST_SKIP() << "io_uring not available: " << why;
  EXPECT_EQ(calls_of_idle_turns(false), 0u);
  EXPECT_EQ(calls_of_idle_turns(true), 50u);
}

TEST(IoUringOptions, MemoryIsRegisteredOnce) {
  if (const std::string why = refusal({}, {}); !why.empty())
    GTEST_SKIP() << "io_uring not available: " << why;
  IoUringTransport transport({.connections_max = 16}, {.zero_copy_bytes = 1});
  const std::vector<std::byte> memory(1 << 20);
  ASSERT_TRUE(transport.register_memory(memory));
  const auto twice = transport.register_memory(memory);
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message, HasSubstr("registered already"));
}

}  // namespace
}  // namespace feedbench::transports
