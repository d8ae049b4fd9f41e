#pragma once

#include <cstdint>

/// Constants of io_uring that are younger than the packaged header; the running kernel decides whether they mean anything
/// to it.
namespace feedbench::transports::io_uring_abi {

inline constexpr std::uint16_t kBufferRingIncremental = 2;       // IOU_PBUF_RING_INC, Linux 6.12
inline constexpr std::uint16_t kBundle = 1U << 4;                // IORING_RECVSEND_BUNDLE, 6.10
inline constexpr std::uint32_t kFeatureBundle = 1U << 14;        // IORING_FEAT_RECVSEND_BUNDLE
inline constexpr std::uint32_t kCompletionBufferMore = 1U << 4;  // IORING_CQE_F_BUF_MORE, 6.12
inline constexpr std::uint16_t kReportZeroCopyUse = 1U << 3;     // IORING_SEND_ZC_REPORT_USAGE, 6.2
inline constexpr std::uint32_t kZeroCopyCopied = 1U << 31;       // IORING_NOTIF_USAGE_ZC_COPIED
inline constexpr unsigned kRegisterNapi = 27;                    // IORING_REGISTER_NAPI, 6.9

/// The argument of IORING_REGISTER_NAPI.
struct NapiRegistration {
  std::uint32_t busy_poll_us = 0;
  std::uint8_t prefer_busy_poll = 0;
  std::uint8_t padding[3] = {};
  std::uint64_t reserved = 0;
};
static_assert(sizeof(NapiRegistration) == 16);

}  // namespace feedbench::transports::io_uring_abi
