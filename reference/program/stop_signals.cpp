#include "reference/program/stop_signals.hpp"

#include <csignal>

namespace feedbench::program {
namespace {

std::atomic<bool> stop_requested{false};
std::atomic<void (*)(void*)> wake_function{nullptr};
std::atomic<void*> wake_context{nullptr};
static_assert(std::atomic<void*>::is_always_lock_free);

}  // namespace

StopSignals::StopSignals(void (*wake)(void*), void* context) {
  stop_requested = false;
  wake_context = context;
  wake_function = wake;
  struct sigaction action = {};
  action.sa_handler = &StopSignals::handle;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

StopSignals::~StopSignals() {
  wake_function = nullptr;
  ::signal(SIGTERM, SIG_DFL);
  ::signal(SIGINT, SIG_DFL);
}

bool StopSignals::requested() noexcept { return stop_requested.load(std::memory_order_relaxed); }

void StopSignals::handle(int) {
  stop_requested.store(true, std::memory_order_relaxed);
  if (auto* wake = wake_function.load()) wake(wake_context.load());
}

}  // namespace feedbench::program
