#include "reference/websocket/testing/rfc6455_cases.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace feedbench::websocket::testing {
namespace {

using Cases = std::vector<NamedCase>;

constexpr std::size_t kKiB = 1024;
constexpr std::size_t kMiB = 1024 * 1024;

/// Adds cases under "prefix.1", "prefix.2", ... in the order of the calls.
class Section {
 public:
  Section(Cases& cases, std::string prefix) : cases_(&cases), prefix_(std::move(prefix)) {}
  void add(std::function<Rfc6455Case()> make) {
    cases_->push_back({prefix_ + "." + std::to_string(++count_), std::move(make)});
  }
  void add(Rfc6455Case ready) {
    add([ready = std::move(ready)] { return ready; });
  }

 private:
  Cases* cases_;
  std::string prefix_;
  int count_ = 0;
};

/// "CE BA BF": hexadecimal bytes, two capital digits each.
std::string hex(std::string_view digits) {
  std::string bytes;
  const auto value = [](char c) {
    return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'A' + 10);
  };
  for (std::size_t i = 0; i + 1 < digits.size(); i += 3) {
    bytes.push_back(static_cast<char>(value(digits[i]) * 16 + value(digits[i + 1])));
  }
  return bytes;
}

/// Printable text whose content depends on the position, so that a shifted or swapped block is
/// seen.
std::string content(std::size_t bytes) {
  std::string data(bytes, '\0');
  unsigned state = 1;
  for (char& c : data) {
    state = state * 1664525U + 1013904223U;
    c = static_cast<char>(' ' + (state >> 24U) % 95U);
  }
  return data;
}

std::vector<RawFrame> fragments(bool is_text, const std::string& payload,
                                std::size_t fragment_bytes) {
  std::vector<RawFrame> frames;
  for (std::size_t at = 0; at < payload.size(); at += fragment_bytes) {
    const bool last = at + fragment_bytes >= payload.size();
    frames.push_back({at > 0    ? 0U
                      : is_text ? 1U
                                : 2U,
                      payload.substr(at, fragment_bytes), last, 0});
  }
  return frames;
}

Reply echo_text(std::string payload) { return {Opcode::text, std::move(payload)}; }
Reply pong_of(std::string payload) { return {Opcode::pong, std::move(payload)}; }

Rfc6455Case echoes(std::vector<RawFrame> frames, std::vector<Reply> replies,
                   Chop chop = Chop::frames, std::size_t chop_bytes = 0) {
  Rfc6455Case made;
  made.frames = std::move(frames);
  made.replies = std::move(replies);
  made.chop = chop;
  made.chop_bytes = chop_bytes;
  return made;
}

Rfc6455Case fails(unsigned code, std::vector<RawFrame> frames, std::vector<Reply> replies = {},
                  Chop chop = Chop::frames) {
  Rfc6455Case made = echoes(std::move(frames), std::move(replies), chop);
  made.ending = Ending::fails;
  made.close_code = code;
  return made;
}

/// A whole message of either type, echoed; made when run.
std::function<Rfc6455Case()> whole_message(bool is_text, std::function<std::string()> payload,
                                           Chop chop = Chop::frames, std::size_t chop_bytes = 0) {
  return [=] {
    std::string data = payload();
    const RawFrame frame{is_text ? 1U : 2U, data, true, 0};
    return echoes({frame}, {{is_text ? Opcode::text : Opcode::binary, std::move(data)}}, chop,
                  chop_bytes);
  };
}

void framing(Cases& cases) {
  for (const bool is_text : {true, false}) {
    Section section(cases, is_text ? "1.1" : "1.2");
    const char unit = is_text ? '*' : '\xFE';
    for (const std::size_t bytes : {0U, 125U, 126U, 127U, 128U, 65535U, 65536U}) {
      section.add(whole_message(is_text, [=] { return std::string(bytes, unit); }));
    }
    section.add(whole_message(
        is_text, [=] { return std::string(65536, unit); }, Chop::fixed, 997));
  }
}

void pings(Cases& cases) {
  Section section(cases, "2");
  const auto answered = [](const std::string& payload, Chop chop = Chop::frames) {
    return echoes({ping(payload)}, {pong_of(payload)}, chop);
  };
  const std::string not_utf8 = hex("00 FF FE FD FC FB 00 FF");
  section.add(answered(""));
  section.add(answered("Hello, world!"));
  section.add(answered(not_utf8));
  section.add(answered(std::string(125, '\xFE')));
  section.add(fails(1002, {ping(std::string(126, '\xFE'))}));
  section.add(answered(std::string(125, '\xFE'), Chop::bytes));
  section.add(echoes({pong()}, {}));
  section.add(echoes({pong("unsolicited pong payload")}, {}));
  section.add(
      echoes({pong("unsolicited pong payload"), ping("ping payload")}, {pong_of("ping payload")}));
  for (const Chop chop : {Chop::frames, Chop::bytes}) {
    Rfc6455Case ten = echoes({}, {}, chop);
    for (int i = 0; i < 10; ++i) {
      const std::string payload = "payload-" + std::to_string(i);
      ten.frames.push_back(ping(payload));
      ten.replies.push_back(pong_of(payload));
    }
    section.add(ten);
  }
}

void reserved_bits(Cases& cases) {
  Section section(cases, "3");
  const std::string hello = "Hello, world!";
  const auto with_rsv = [](RawFrame frame, unsigned rsv) {
    frame.rsv = rsv;
    return frame;
  };
  section.add(fails(1002, {with_rsv(text(hello), 1)}));
  section.add(fails(1002, {text(hello), with_rsv(text(hello), 2), ping()}, {echo_text(hello)},
                    Chop::whole));
  section.add(fails(1002, {text(hello), with_rsv(text(hello), 3), ping()}, {echo_text(hello)},
                    Chop::frames));
  section.add(fails(1002, {text(hello), with_rsv(text(hello), 4), ping()}, {echo_text(hello)},
                    Chop::bytes));
  section.add(fails(1002, {with_rsv(binary(std::string(8, '\xFE')), 5)}));
  section.add(fails(1002, {with_rsv(ping(hello), 6)}));
  section.add(fails(1002, {with_rsv(close_code(1000), 7)}));
}

void reserved_opcodes(Cases& cases) {
  const std::string hello = "Hello, world!";
  for (const unsigned base : {3U, 11U}) {
    Section section(cases, base == 3 ? "4.1" : "4.2");
    section.add(fails(1002, {{base, "", true, 0}}));
    section.add(fails(1002, {{base + 1, "reserved opcode payload", true, 0}}));
    for (unsigned opcode = base + 2; opcode < base + 5; ++opcode) {
      const std::string payload = opcode == base + 2 ? "" : hello;
      section.add(
          fails(1002, {text(hello), {opcode, payload, true, 0}, ping()}, {echo_text(hello)}));
    }
  }
}

void fragmentation(Cases& cases) {
  Section section(cases, "5");
  const RawFrame first = text("fragment1", false);
  const RawFrame last = more("fragment2", true);
  const Reply both = echo_text("fragment1fragment2");
  const RawFrame interleaved = ping("ping payload");
  const Reply answer = pong_of("ping payload");

  section.add(fails(1002, {{9, "fragment1", false, 0}, last}));
  section.add(fails(1002, {{10, "fragment1", false, 0}, last}));
  const std::vector<Chop> chops = {Chop::whole, Chop::frames, Chop::bytes};
  for (const Chop chop : chops) section.add(echoes({first, last}, {both}, chop));
  for (const Chop chop : chops)
    section.add(echoes({first, interleaved, last}, {answer, both}, chop));
  for (const bool fin : {true, false}) {
    for (const Chop chop : chops)
      section.add(
          fails(1002, {more("non-continuation payload", fin), text("Hello, world!")}, {}, chop));
  }
  section.add(fails(1002, {first, last, more("fragment3", false), text("fragment4")}, {both}));
  for (const bool fin : {false, true}) {
    const RawFrame orphan = more("fragment1", fin);
    section.add(fails(1002, {orphan, first, last, orphan, first, last}));
  }
  section.add(fails(1002, {first, text("fragment2")}));
  for (const Chop chop : {Chop::whole, Chop::frames}) {
    Rfc6455Case five =
        echoes({text("fragment1", false), more("fragment2"), ping("pongme 1!"), more("fragment3"),
                more("fragment4"), ping("pongme 2!"), more("fragment5", true)},
               {pong_of("pongme 1!"), pong_of("pongme 2!"),
                echo_text("fragment1fragment2fragment3fragment4fragment5")},
               chop);
    five.replies_after_frame = {0, 0, 1, 1, 1, 2, 3};
    section.add(five);
  }
}

Rfc6455Case utf8_whole(const std::string& payload, bool valid) {
  return valid ? echoes({text(payload)}, {echo_text(payload)}) : fails(1007, {text(payload)});
}
Rfc6455Case utf8_byte_fragments(const std::string& payload, bool valid) {
  return valid ? echoes(fragments(true, payload, 1), {echo_text(payload)})
               : fails(1007, fragments(true, payload, 1));
}

Rfc6455Case fail_fast(std::vector<std::string> pieces, bool as_frames) {
  Rfc6455Case made;
  made.ending = Ending::fails;
  made.close_code = 1007;
  made.pieces = std::move(pieces);
  made.failing_piece = 1;
  made.pieces_are_frames = as_frames;
  return made;
}

const char* const kGreek = "\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5";  // kosme, with an accent

void utf8_first_half(Cases& cases) {
  Section empty(cases, "6.1");
  empty.add(echoes({text("")}, {echo_text("")}));
  empty.add(echoes({text("", false), more(""), more("", true)}, {echo_text("")}));
  empty.add(echoes({text("", false), more("middle frame payload"), more("", true)},
                   {echo_text("middle frame payload")}));

  Section split(cases, "6.2");
  const std::string mixed =
      "Hello-\xC2\xB5@\xC3\x9F\xC3\xB6\xC3\xA4\xC3\xBC\xC3\xA0\xC3\xA1-UTF-8!!";
  split.add(utf8_whole(mixed, true));
  split.add(
      echoes({text(mixed.substr(0, 8), false), more(mixed.substr(8), true)}, {echo_text(mixed)}));
  split.add(utf8_byte_fragments(mixed, true));
  split.add(utf8_byte_fragments(kGreek, true));

  Section broken(cases, "6.3");
  const std::string surrogate = std::string(kGreek) + "\xED\xA0\x80" + "edited";
  broken.add(utf8_whole(surrogate, false));
  broken.add(utf8_byte_fragments(surrogate, false));

  Section early(cases, "6.4");
  for (const bool as_frames : {true, false}) {
    early.add(fail_fast({kGreek, hex("F4 90 80 80"), "edited"}, as_frames));
    early.add(fail_fast({std::string(kGreek) + "\xF4", "\x90", std::string("\x80\x80") + "edited"},
                        as_frames));
  }

  Section valid(cases, "6.5");
  for (const std::string& character :
       {std::string("$"), hex("C2 A2"), hex("E2 82 AC"), hex("F0 9F 98 80")}) {
    valid.add(utf8_whole("Text with one character " + character + " in ASCII", true));
  }
  valid.add(utf8_whole(kGreek, true));

  Section prefixes(cases, "6.6");
  const std::string greek = kGreek;
  for (std::size_t length = 1; length <= greek.size(); ++length) {
    prefixes.add(utf8_whole(greek.substr(0, length), length == 2 || length == 5 || length == 7 ||
                                                         length == 9 || length == 11));
  }
}

/// A section of whole messages, each a line of hexadecimal bytes.
void utf8_lines(Cases& cases, const std::string& number, bool valid,
                const std::vector<std::string>& lines) {
  Section section(cases, number);
  for (const std::string& line : lines) section.add(utf8_whole(hex(line), valid));
}

void utf8_lone_leads(Cases& cases) {
  Section section(cases, "6.13");
  const std::vector<std::pair<unsigned, unsigned>> ranges = {
      {0xC0, 0xDE}, {0xE0, 0xEE}, {0xF0, 0xF6}, {0xF8, 0xFA}, {0xFC, 0xFC}};
  for (const auto& [low, high] : ranges) {
    std::string payload;
    for (unsigned lead = low; lead <= high; ++lead)
      payload += std::string{static_cast<char>(lead), ' '};
    section.add(utf8_whole(payload, false));
  }
}

void utf8_surrogates(Cases& cases) {
  utf8_lines(cases, "6.20", false,
             {"ED A0 80", "ED AD BF", "ED AE 80", "ED AF BF", "ED B0 80", "ED BE 80", "ED BF BF"});
  Section pairs(cases, "6.21");
  for (const char* high : {"ED A0 80 ", "ED AD BF ", "ED AE 80 ", "ED AF BF "}) {
    for (const char* low : {"ED B0 80", "ED BF BF"})
      pairs.add(utf8_whole(hex(std::string(high) + low), false));
  }
}

void utf8_noncharacters(Cases& cases) {
  Section section(cases, "6.22");
  for (unsigned plane = 0; plane <= 16; ++plane) {
    for (const unsigned last : {0xBEU, 0xBFU}) {
      std::string payload;
      if (plane == 0) {
        payload = "\xEF\xBF";
      } else {
        const unsigned point = (plane << 16U) | 0xFFFEU;
        payload.push_back(static_cast<char>(0xF0U | (point >> 18U)));
        payload.push_back(static_cast<char>(0x80U | ((point >> 12U) & 0x3FU)));
        payload.push_back('\xBF');
      }
      payload.push_back(static_cast<char>(last));
      section.add(utf8_whole(payload, true));
    }
  }
}

void utf8_second_half(Cases& cases) {
  utf8_lines(cases, "6.7", true, {"00", "C2 80", "E0 A0 80", "F0 90 80 80"});
  utf8_lines(cases, "6.8", false, {"F8 88 80 80 80", "FC 84 80 80 80 80"});
  utf8_lines(cases, "6.9", true, {"7F", "DF BF", "EF BF BF", "F4 8F BF BF"});
  utf8_lines(cases, "6.10", false, {"F7 BF BF BF", "FB BF BF BF BF", "FD BF BF BF BF BF"});
  Section limits(cases, "6.11");
  for (const char* line : {"ED 9F BF", "EE 80 80", "EF BF BD", "F4 8F BF BF"})
    limits.add(utf8_whole(hex(line), true));
  limits.add(utf8_whole(hex("F4 90 80 80"), false));

  Section lone(cases, "6.12");
  for (const char* line :
       {"80", "BF", "80 BF", "80 BF 80", "80 BF 80 BF", "80 BF 80 BF 80", "80 BF 80 BF 80 BF"}) {
    lone.add(utf8_whole(hex(line), false));
  }
  std::string continuations;
  for (int byte = 0x80; byte <= 0xBE; ++byte) continuations.push_back(static_cast<char>(byte));
  lone.add(utf8_whole(continuations, false));
  utf8_lone_leads(cases);

  const std::vector<std::string> cut = {"C0", "E0 80", "F0 80 80", "F8 80 80 80", "FC 80 80 80 80",
                                        "DF", "EF BF", "F7 BF BF", "FB BF BF BF", "FD BF BF BF BF"};
  utf8_lines(cases, "6.14", false, cut);
  std::string joined;
  for (const std::string& line : cut) joined += hex(line);
  Section(cases, "6.15").add(utf8_whole(joined, false));
  utf8_lines(cases, "6.16", false, {"FE", "FF", "FE FE FF FF"});
  utf8_lines(cases, "6.17", false,
             {"C0 AF", "E0 80 AF", "F0 80 80 AF", "F8 80 80 80 AF", "FC 80 80 80 80 AF"});
  utf8_lines(cases, "6.18", false,
             {"C1 BF", "E0 9F BF", "F0 8F BF BF", "F8 87 BF BF BF", "FC 83 BF BF BF BF"});
  utf8_lines(cases, "6.19", false,
             {"C0 80", "E0 80 80", "F0 80 80 80", "F8 80 80 80 80", "FC 80 80 80 80 80"});
  utf8_surrogates(cases);
  utf8_noncharacters(cases);
  utf8_lines(cases, "6.23", true,
             {"EF BF B9", "EF BF BA", "EF BF BB", "EF BF BC", "EF BF BD", "EF BF BE", "EF BF BF"});
}

/// A case whose frames hold the Close. code: of the endpoint's Close, 0 for that of the peer's.
Rfc6455Case closes(std::vector<RawFrame> frames, std::vector<Reply> replies = {},
                   unsigned code = 0) {
  Rfc6455Case made = echoes(std::move(frames), std::move(replies), Chop::whole);
  made.sends_close = true;
  made.close_code = code;
  return made;
}

void closing(Cases& cases) {
  Section order(cases, "7.1");
  order.add(closes({text("Hello World!"), close_code(1000)}, {echo_text("Hello World!")}));
  order.add(closes({close_code(1000), close_code(1000)}));
  order.add(closes({close_code(1000), ping()}));
  order.add(closes({close_code(1000), text("Hello World!")}));
  order.add(closes({text("fragment1", false), close_code(1000), more("fragment2", true)}));
  order.add([] {
    const std::string large = content(256 * kKiB);
    Rfc6455Case made = closes({text(large), text("Hello World!"), close_code(1000), ping()},
                              {echo_text(large), echo_text("Hello World!")});
    made.ending = Ending::informational;
    return made;
  });

  Section payloads(cases, "7.3");
  payloads.add(closes({close_raw("")}, {}, 1005));
  payloads.add(fails(1002, {close_raw("a")}));
  payloads.add(closes({close_code(1000)}));
  payloads.add(closes({close_code(1000, "Hello World!")}));
  payloads.add(closes({close_code(1000, std::string(123, '*'))}));
  payloads.add(fails(1002, {close_code(1000, std::string(124, '*'))}));

  Section(cases, "7.5")
      .add(fails(1007, {close_code(1000, hex("CE BA E1 BD B9 CF 83 CE BC CE B5 ED A0 80 65"))}));

  Section valid(cases, "7.7");
  for (const unsigned code : {1000U, 1001U, 1002U, 1003U, 1007U, 1008U, 1009U, 1010U, 1011U, 3000U,
                              3999U, 4000U, 4999U}) {
    valid.add(closes({close_code(code)}));
  }
  Section invalid(cases, "7.9");
  for (const unsigned code : {0U, 999U, 1004U, 1005U, 1006U, 1016U, 1100U, 2000U, 2999U})
    invalid.add(fails(1002, {close_code(code)}));
  Section unclear(cases, "7.13");
  for (const unsigned code : {5000U, 65535U}) {
    Rfc6455Case made = closes({close_code(code)});
    made.ending = Ending::informational;
    unclear.add(made);
  }
}

void limits(Cases& cases) {
  const std::vector<std::size_t> message_bytes = {64 * kKiB, 256 * kKiB, kMiB,
                                                  4 * kMiB,  8 * kMiB,   16 * kMiB};
  for (const bool is_text : {true, false}) {
    Section section(cases, is_text ? "9.1" : "9.2");
    for (const std::size_t bytes : message_bytes)
      section.add(whole_message(is_text, [=] { return content(bytes); }));
  }
  const std::vector<std::size_t> fragment_bytes = {64,        256,        kKiB, 4 * kKiB, 16 * kKiB,
                                                   64 * kKiB, 256 * kKiB, kMiB, 4 * kMiB};
  for (const bool is_text : {true, false}) {
    Section section(cases, is_text ? "9.3" : "9.4");
    for (const std::size_t bytes : fragment_bytes) {
      section.add([=] {
        const std::string data = content(4 * kMiB);
        return echoes(fragments(is_text, data, bytes),
                      {{is_text ? Opcode::text : Opcode::binary, data}});
      });
    }
  }
  for (const bool is_text : {true, false}) {
    Section section(cases, is_text ? "9.5" : "9.6");
    for (const std::size_t chop_bytes : {64U, 128U, 256U, 512U, 1024U, 2048U}) {
      section.add(whole_message(
          is_text, [] { return content(kMiB); }, Chop::fixed, chop_bytes));
    }
  }
  for (const bool is_text : {true, false}) {
    Section section(cases, is_text ? "9.7" : "9.8");
    for (const std::size_t bytes : {0U, 16U, 64U, 256U, 1024U, 4096U}) {
      section.add([=] {
        Rfc6455Case made = whole_message(is_text, [=] { return content(bytes); })();
        made.rounds = 1000;
        return made;
      });
    }
  }
}

}  // namespace

std::vector<NamedCase> rfc6455_cases() {
  Cases cases;
  framing(cases);
  pings(cases);
  reserved_bits(cases);
  reserved_opcodes(cases);
  fragmentation(cases);
  utf8_first_half(cases);
  utf8_second_half(cases);
  closing(cases);
  limits(cases);
  Section(cases, "10.1").add([] {
    const std::string data(65536, '*');
    return echoes(fragments(true, data, 1300), {echo_text(data)});
  });
  return cases;
}

}  // namespace feedbench::websocket::testing
