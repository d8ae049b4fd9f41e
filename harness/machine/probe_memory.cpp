#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>

#include "harness/machine/probe_machine.hpp"
#include "harness/measure/text_files.hpp"
#include "transports/rings/descriptor.hpp"

namespace feedbench::machine {
namespace {

using measure::first_line;
using measure::number_of;
using transports::explain_errno;
using transports::KernelFeature;

constexpr std::uint64_t kHugePageBytes = 2ULL << 20;
constexpr std::uint64_t kSmallPageBytes = 4096;
constexpr std::uint64_t kLockTriedMax = 1ULL << 40;

Limit soft_limit(int resource, Limit* hard = nullptr) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return std::nullopt;
  const auto as_limit = [](rlim_t value) {
    return value == RLIM_INFINITY ? Limit() : Limit(value);
  };
  if (hard != nullptr) *hard = as_limit(limit.rlim_max);
  return as_limit(limit.rlim_cur);
}

/// Allocates one page, so that a page that is promised but not there shows; it is gone when this returns.
KernelFeature try_huge_page() {
  KernelFeature feature{
      "memory.huge_page", "2 MiB page (tried)", "for `feedproxy --huge-pages on`", {}, {}, 0};
  const rings::Descriptor file(static_cast<int>(
      ::memfd_create("feedbench-probe", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB)));
  if (!file.valid()) {
    const int os_error = errno;
    if (os_error == EMFILE || os_error == ENFILE) {
      feature.untried("no descriptor is left", os_error);
    } else {
      feature.fails("the kernel offers no such pages: " + explain_errno(os_error), os_error);
    }
    return feature;
  }
  if (::fallocate(file.get(), 0, 0, static_cast<off_t>(kHugePageBytes)) == 0) {
    feature.works();
  } else {
    feature.fails("none is free; reserve some with `sysctl vm.nr_hugepages=64` (root)", errno);
  }
  return feature;
}

/// Locks one page more than the limit allows, without touching the memory: only the promise is tried.
KernelFeature try_lock_beyond(Limit locked_bytes) {
  KernelFeature feature{
      "memory.lock_beyond", "locking more than that", "root and CAP_IPC_LOCK may", {}, {}, 0};
  if (!locked_bytes) {
    feature.works("there is no limit");
    return feature;
  }
  if (*locked_bytes > kLockTriedMax) {
    feature.untried("the limit is too large to try");
    return feature;
  }
  const std::uint64_t bytes = *locked_bytes + kSmallPageBytes;
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    feature.untried("no address space: " + explain_errno(errno), errno);
    return feature;
  }
  if (::mlock2(at, bytes, MLOCK_ONFAULT) == 0) {
    feature.works("the limit does not bind this process");
  } else {
    const int os_error = errno;
    feature.fails("the limit binds this process", os_error);
  }
  ::munmap(at, bytes);
  return feature;
}

}  // namespace

MemoryFacts probe_memory(const std::string& root) {
  MemoryFacts facts;
  const std::string pages = root + "/sys/kernel/mm/hugepages/hugepages-2048kB/";
  facts.huge_pages = number_of(first_line(pages + "nr_hugepages"));
  facts.huge_pages_free = number_of(first_line(pages + "free_hugepages"));
  facts.huge_page = try_huge_page();
  facts.transparent_huge_pages =
      measure::bracketed(first_line(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
  facts.locked_bytes = soft_limit(RLIMIT_MEMLOCK);
  facts.lock_beyond = try_lock_beyond(facts.locked_bytes);
  facts.descriptors = soft_limit(RLIMIT_NOFILE, &facts.descriptors_max);
  return facts;
}

}  // namespace feedbench::machine
