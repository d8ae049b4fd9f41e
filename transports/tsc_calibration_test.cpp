#include "transports/tsc_calibration.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace feedbench::transports {
namespace {

/// A machine whose clocks are known: the TSC runs at `hz`, CLOCK_REALTIME is off from true time by `wall_ppm` and can be set.
class FakeMachine {
 public:
  static constexpr std::int64_t kEpochNs = 1'700'000'000'000'000'000;
  double hz = 2.5e9;
  double wall_ppm = 0.0;
  double true_ns = 1'000'000.0;
  double wall_ns = 0.0;  // since kEpochNs: a double of the whole would be good to 256 ns only
  std::uint64_t narrow_ticks = 80;
  std::uint64_t interrupted_ticks = 40'000;
  unsigned interrupted_percent = 60;

  void pass(double ns) {
    true_ns += ns;
    wall_ns += ns * (1.0 + wall_ppm * 1e-6);
  }
  [[nodiscard]] std::uint64_t tsc() const {
    return static_cast<std::uint64_t>(true_ns * hz * 1e-9);
  }
  [[nodiscard]] std::int64_t wall() const { return kEpochNs + static_cast<std::int64_t>(wall_ns); }

  /// A bracket in which the kernel clock was read exactly in the middle, unless it was interrupted: then near one end.
  ClockBracket read(bool of_wall) {
    const bool interrupted = random_() % 100 < interrupted_percent;
    const std::uint64_t width = interrupted ? interrupted_ticks : narrow_ticks;
    ClockBracket bracket;
    bracket.tsc_before = tsc();
    const double half_ns = static_cast<double>(width) / 2.0 / hz * 1e9;
    pass(interrupted ? half_ns * 0.01 : half_ns);
    bracket.ns = of_wall ? wall() : static_cast<std::int64_t>(true_ns);
    pass(interrupted ? half_ns * 1.99 : half_ns);
    bracket.tsc_after = bracket.tsc_before + width;
    pass(300.0);
    return bracket;
  }

  TscClockOptions options() {
    TscClockOptions made;
    made.read_wall = [this] { return read(true); };
    made.read_monotonic = [this] { return read(false); };
    made.invariant = [] { return true; };
    return made;
  }

 private:
  std::mt19937_64 random_{7};
};

constexpr double kToleranceTicks = 60;

double off_ticks(const FakeMachine& machine, const TscClock& clock) {
  const auto mapped = static_cast<double>(clock.to_tsc(WallInstant{machine.wall()}).ticks);
  return std::abs(mapped - static_cast<double>(machine.tsc()));
}

TEST(TscClock, FindsTheRateWhateverIsInterrupted) {
  for (const double hz : {1.0e9, 2.596120e9, 4.7e9}) {
    FakeMachine machine;
    machine.hz = hz;
    auto options = machine.options();
    options.window_ns = 200'000'000;
    const auto clock = TscClock::calibrate(options);
    ASSERT_TRUE(clock.has_value()) << clock.error().message;
    EXPECT_NEAR(clock->tsc_hz() / hz, 1.0, 1e-6);
    EXPECT_EQ(clock->error_ticks(), 40.0) << "half of the narrowest bracket";
    EXPECT_NEAR(clock->error_ns(), 40.0 / hz * 1e9, 0.1);
    EXPECT_GT(clock->slope_error_ppb(), 0.0);
    EXPECT_LT(clock->slope_error_ppb(), 1000.0);
  }
}

TEST(TscClock, TakesTheNarrowestBracketOfAtLeastSixtyFour) {
  FakeMachine machine;
  machine.interrupted_percent = 90;
  auto options = machine.options();
  options.tries = 1;
  const auto clock = TscClock::calibrate(options);
  ASSERT_TRUE(clock.has_value());
  EXPECT_EQ(clock->error_ticks(), 40.0);
  EXPECT_LT(off_ticks(machine, *clock), kToleranceTicks);
}

TEST(TscClock, MapsInstantsOfBothClocksThereAndBack) {
  FakeMachine machine;
  const auto clock = TscClock::calibrate(machine.options());
  ASSERT_TRUE(clock.has_value());
  machine.pass(5'000'000);
  EXPECT_LT(off_ticks(machine, *clock), kToleranceTicks);
  const TscInstant now{machine.tsc()};
  EXPECT_NEAR(static_cast<double>(clock->to_wall(now).ns - machine.wall()), 0.0, 100.0);
  EXPECT_NEAR(static_cast<double>(clock->to_monotonic(now).ns) - machine.true_ns, 0.0, 100.0);
  const MonotonicInstant at{static_cast<std::int64_t>(machine.true_ns)};
  EXPECT_NEAR(static_cast<double>(clock->to_monotonic(clock->to_tsc(at)).ns - at.ns), 0.0, 2.0);
  EXPECT_NEAR(static_cast<double>(clock->to_ns(clock->to_ticks(1'000'000))), 1e6, 1.0);
}

TEST(TscClock, FollowsTheSlewingOfTheWallClock) {
  FakeMachine machine;
  auto clock = TscClock::calibrate(machine.options());
  ASSERT_TRUE(clock.has_value());
  machine.wall_ppm = 300.0;  // chrony catches up: 300 us a second
  for (int i = 0; i < 40; ++i) {
    machine.pass(51'000'000);
    clock->follow(TscInstant{machine.tsc()});
    EXPECT_LT(off_ticks(machine, *clock), 200.0) << "right after anchor " << i;
  }
  EXPECT_GE(clock->reanchors(), 10u);
  // Between two anchors the slope has taken the slew in, too.
  machine.pass(40'000'000);
  EXPECT_LT(off_ticks(machine, *clock), 200.0);
  // A clock that does not follow is off by what was slewed since: 2 s at 300 ppm.
  auto stale = TscClock::calibrate(machine.options());
  machine.wall_ppm = -300.0;
  machine.pass(2e9);
  EXPECT_GT(off_ticks(machine, *stale), 1'000'000.0);
}

TEST(TscClock, SurvivesASettingOfTheWallClock) {
  FakeMachine machine;
  auto clock = TscClock::calibrate(machine.options());
  ASSERT_TRUE(clock.has_value());
  for (const double step_ns : {3.6e12, -7.2e12}) {
    machine.wall_ns += step_ns;
    machine.pass(51'000'000);
    for (int i = 0; i < 10; ++i) clock->follow(TscInstant{machine.tsc()});
    EXPECT_LT(off_ticks(machine, *clock), kToleranceTicks);
    machine.pass(40'000'000);
    EXPECT_LT(off_ticks(machine, *clock), 200.0) << "the slope did not take the step for a rate";
  }
}

TEST(TscClock, DoesNotAnchorOnAnInterruptedBracketButNotForEver) {
  FakeMachine machine;
  auto clock = TscClock::calibrate(machine.options());
  ASSERT_TRUE(clock.has_value());
  machine.interrupted_percent = 100;
  machine.pass(51'000'000);
  for (int i = 0; i < 3; ++i) clock->follow(TscInstant{machine.tsc()});
  EXPECT_EQ(clock->reanchors(), 0u);
  EXPECT_EQ(clock->reanchors_dropped(), 3u);
  EXPECT_EQ(clock->error_ticks(), 40.0);
  clock->follow(TscInstant{machine.tsc()});
  EXPECT_EQ(clock->reanchors(), 1u) << "a wide anchor is better than one of yesterday";
  EXPECT_EQ(clock->error_ticks(), 20'000.0) << "and says so";
}

TEST(TscClock, FollowingCostsNothingBeforeItIsDue) {
  FakeMachine machine;
  auto clock = TscClock::calibrate(machine.options());
  ASSERT_TRUE(clock.has_value());
  const std::uint64_t before = machine.tsc();
  for (int i = 0; i < 1000; ++i) clock->follow(TscInstant{machine.tsc()});
  EXPECT_EQ(machine.tsc(), before) << "no clock was read";
}

TEST(TscClock, ATscThatIsNotInvariantIsAnErrorThatSaysWhatToDo) {
  FakeMachine machine;
  auto options = machine.options();
  options.invariant = [] { return false; };
  const auto clock = TscClock::calibrate(options);
  ASSERT_FALSE(clock.has_value());
  EXPECT_NE(clock.error().message.find("not invariant"), std::string::npos);
  EXPECT_NE(clock.error().message.find("constant_tsc"), std::string::npos);
}

TEST(TscClock, AClockSetBackDuringCalibrationIsAnError) {
  FakeMachine machine;
  auto options = machine.options();
  int reads = 0;
  options.read_wall = [&] {
    if (++reads == 65) machine.wall_ns -= 1e12;
    return machine.read(true);
  };
  EXPECT_FALSE(TscClock::calibrate(options).has_value());
}

TEST(TscClock, AgreesWithTheKernelOnThisMachine) {
  if (!tsc_is_invariant()) GTEST_SKIP() << "this machine's TSC is not invariant";
  auto clock = TscClock::calibrate();
  ASSERT_TRUE(clock.has_value()) << clock.error().message;
  EXPECT_GT(clock->tsc_hz(), 1e8);
  // Whatever the scheduler does, an instant of the kernel lies between the ticks read before and after it.
  for (int i = 0; i < 100; ++i) {
    const TscInstant before = TscInstant::now();
    const WallInstant wall = WallInstant::now();
    const MonotonicInstant monotonic = MonotonicInstant::now();
    const TscInstant after = TscInstant::now();
    const auto slack = static_cast<std::int64_t>(clock->error_ticks()) + 5000;
    EXPECT_GT((clock->to_tsc(wall) - before).ticks, -slack);
    EXPECT_LT((clock->to_tsc(wall) - after).ticks, slack);
    EXPECT_GT((clock->to_tsc(monotonic) - before).ticks, -slack);
    EXPECT_LT((clock->to_tsc(monotonic) - after).ticks, slack);
    clock->follow(after);
  }
}

TEST(ClockDomains, InstantsOfDifferentClocksCannotBeSubtracted) {
  const auto subtractable = []<class A, class B>(A*, B*) {
    return requires(A a, B b) { a - b; };
  };
  static_assert(subtractable(static_cast<TscInstant*>(nullptr), static_cast<TscInstant*>(nullptr)));
  static_assert(
      !subtractable(static_cast<TscInstant*>(nullptr), static_cast<WallInstant*>(nullptr)));
  static_assert(
      !subtractable(static_cast<WallInstant*>(nullptr), static_cast<MonotonicInstant*>(nullptr)));
  static_assert(
      !subtractable(static_cast<TscInstant*>(nullptr), static_cast<MonotonicInstant*>(nullptr)));
}

}  // namespace
}  // namespace feedbench::transports
