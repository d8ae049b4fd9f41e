#include "harness/machine/screen.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "harness/machine/machine_json.hpp"

namespace feedbench::machine {
namespace {

std::vector<Group> two_groups() {
  return {{"a",
           "First",
           {yes_or_no("a.one", "one", true, "works"),
            yes_or_no("a.other", "a longer name", false, "refused")}},
          {"b",
           "Second",
           {number_line("b.n", "n", 8388608, "bytes", "8 MiB", "a limit"),
            line_without_value("b.u", "u", "unknown", "not readable")}}};
}

TEST(Screen, AlignsNamesAnswersAndNotesOverAllGroups) {
  EXPECT_EQ(format_screen(two_groups(), {}),
            "\n"
            "First\n"
            "  one            yes      works\n"
            "  a longer name  no       refused\n"
            "\n"
            "Second\n"
            "  n              8 MiB    a limit\n"
            "  u              unknown  not readable\n");
}

TEST(Screen, PutsAdviceOnOneMarkedLineUnderWhatItIsAbout) {
  const std::string text(200, 'x');
  const std::string screen = format_screen(two_groups(), {{"a.one", text}, {"gone", "last"}});
  EXPECT_NE(screen.find("works\n  => " + text + "\n  a longer name"), std::string::npos) << screen;
  EXPECT_TRUE(screen.ends_with("not readable\n  => last\n")) << screen;
}

TEST(Screen, WrapsNotesToTheTerminalUnderWhereTheyBegan) {
  std::string words;
  for (int i = 0; i < 40; ++i) words += "word ";
  const std::vector<Group> groups = {{"g", "G", {yes_or_no("g.x", "x", true, words)}}};
  std::istringstream screen(format_screen(groups, {}, {.columns = 80, .colour = false}));
  int lines = 0;
  for (std::string line; std::getline(screen, line); ++lines) {
    EXPECT_LE(line.size(), 80U);
    EXPECT_FALSE(line.ends_with(' '));
    if (lines > 2) {
      EXPECT_TRUE(line.starts_with("          word")) << line;
    }
  }
  EXPECT_GT(lines, 4);
}

TEST(Screen, ColoursAnswersOnlyWhenAsked) {
  EXPECT_EQ(format_screen(two_groups(), {}).find('\x1b'), std::string::npos);
  const std::string coloured = format_screen(two_groups(), {}, {.columns = 80, .colour = true});
  EXPECT_NE(coloured.find("\x1b[32myes\x1b[0m      works"), std::string::npos) << coloured;
  EXPECT_NE(coloured.find("\x1b[31mno\x1b[0m       refused"), std::string::npos) << coloured;
}

TEST(Lines, TellAbsentFromUntried) {
  transports::KernelFeature feature{"f", "F", "meaning", true, "", 0};
  EXPECT_EQ(feature_line(feature).text, "yes");
  EXPECT_EQ(feature_line(feature).note, "meaning");
  feature.fails("because", 22);
  EXPECT_EQ(feature_line(feature).text, "no");
  EXPECT_EQ(feature_line(feature).note, "meaning; because");
  feature.untried("no socket");
  EXPECT_EQ(feature_line(feature).text, "not tried");
  EXPECT_EQ(feature_line(feature).available, std::nullopt);
}

TEST(Lines, SayUnknownAndNotZeroForWhatIsAbsent) {
  const auto line_of = [](const Group& group, const std::string& id) {
    for (const Line& line : group.lines) {
      if (line.id == id) return line;
    }
    ADD_FAILURE() << "no line " << id;
    return Line{};
  };
  const Group memory = describe_memory(MemoryFacts{});
  EXPECT_EQ(line_of(memory, "memory.huge_pages").text, "unknown");
  EXPECT_EQ(line_of(memory, "memory.locked").text, "no limit");
  MemoryFacts limited;
  limited.huge_pages = 0;
  limited.locked_bytes = 64 * 1024;
  EXPECT_EQ(line_of(describe_memory(limited), "memory.huge_pages").text, "0");
  EXPECT_EQ(line_of(describe_memory(limited), "memory.locked").text, "64 KiB");
  CoreFacts cores;
  EXPECT_EQ(line_of(describe_cores(cores), "cores.stolen").text, "unknown");
  EXPECT_EQ(line_of(describe_cores(cores), "cores.isolated").text, "unknown");
  cores.isolated = "";
  cores.stolen_share = 0.031;
  EXPECT_EQ(line_of(describe_cores(cores), "cores.stolen").text, "3.1 %");
  EXPECT_EQ(line_of(describe_cores(cores), "cores.isolated").text, "none");
}

TEST(Lines, ShowTheMiddleAndTheWorstOfManyCores) {
  CoreFacts facts;
  for (int cpu = 0; cpu < 20; ++cpu) {
    facts.jitter.push_back(
        {.cpu = cpu, .seconds = 0.5, .longest_gap_ns = 1'000'000 + 100'000 * cpu});
  }
  std::vector<std::string> gaps;
  for (const Line& line : describe_cores(facts).lines) {
    if (line.id.starts_with("cores.longest_gap")) gaps.push_back(line.name + ": " + line.text);
  }
  EXPECT_EQ(gaps, (std::vector<std::string>{"longest gap, middle of 20 cores: 2.0 ms",
                                            "longest gap, core 19: 2.9 ms"}));
}

TEST(MachineJson, GivesNullForWhatIsNotKnownAndNumbersWithUnits) {
  auto groups = two_groups();
  groups[0].lines.push_back(yes_or_no("a.third", "third", std::nullopt, "no socket"));
  const auto json = machine_json(MachineFacts{}, groups, {{"b.n", "raise it"}});
  EXPECT_EQ(json["schema"], "feedbench.probe/1");
  EXPECT_EQ(json["groups"][0]["lines"][0]["available"], true);
  EXPECT_EQ(json["groups"][0]["lines"][1]["available"], false);
  EXPECT_TRUE(json["groups"][0]["lines"][2]["available"].is_null());
  EXPECT_EQ(json["groups"][1]["lines"][0]["value"], 8388608);
  EXPECT_EQ(json["groups"][1]["lines"][0]["unit"], "bytes");
  EXPECT_TRUE(json["groups"][1]["lines"][1]["value"].is_null());
  EXPECT_EQ(json["advice"][0]["about"], "b.n");
}

}  // namespace
}  // namespace feedbench::machine
