#pragma once

#include <sys/ioctl.h>

#include <cstdint>

/// Busy polling of one epoll: constants that are younger than the packaged header (Linux 6.9).
namespace feedbench::transports::epoll_abi {

/// struct epoll_params.
struct BusyPollParameters {
  std::uint32_t busy_poll_us = 0;
  std::uint16_t busy_poll_budget = 0;
  std::uint8_t prefer_busy_poll = 0;
  std::uint8_t padding = 0;
};
static_assert(sizeof(BusyPollParameters) == 8);

inline constexpr unsigned long kSetParameters =
    _IOW(0x8A, 0x01, BusyPollParameters);  // EPIOCSPARAMS
inline constexpr unsigned long kGetParameters =
    _IOR(0x8A, 0x02, BusyPollParameters);    // EPIOCGPARAMS
inline constexpr std::uint16_t kBudget = 8;  // packets a look; more needs CAP_NET_ADMIN

}  // namespace feedbench::transports::epoll_abi
