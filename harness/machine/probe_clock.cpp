#include <sstream>

#include "harness/machine/probe_machine.hpp"
#include "harness/measure/text_files.hpp"
#include "transports/tsc_calibration.hpp"

namespace feedbench::machine {

ClockFacts probe_clock(const measure::Environment& environment, const std::string& root) {
  ClockFacts facts;
  facts.source = environment.clocksource;
  std::istringstream names(
      measure::first_line(root +
                          "/sys/devices/system/clocksource/clocksource0/available_clocksource")
          .value_or(""));
  for (std::string name; names >> name;) facts.sources.push_back(name);
  facts.tsc_invariant = transports::tsc_is_invariant();
  if (const auto clock = transports::TscClock::calibrate()) {
    facts.tsc_hz = clock->tsc_hz();
    facts.calibration_error_ns = clock->error_ns();
    facts.calibration_slope_ppb = clock->slope_error_ppb();
  } else {
    facts.calibration_absent_reason = clock.error().message;
  }
  return facts;
}

}  // namespace feedbench::machine
