#include "text_format.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "support/quantities.hpp"

namespace onced::cli {

using namespace std::chrono_literals;

TEST_CASE("control bytes and broken UTF-8 are shown, not obeyed") {
  CHECK(escape("plain Grüße") == "plain Grüße");
  CHECK(escape("a\x1b[31mb") == "a\\x1b[31mb");
  CHECK(escape("a\nb\tc\rd") == "a\\nb\\tc\\rd");
  CHECK(escape(std::string_view("\0", 1)) == "\\x00");
  CHECK(escape("\x7f") == "\\x7f");
  CHECK(escape("\xc2\x9b") == "\\xc2\\x9b");          // CSI as one C1 character
  CHECK(escape("\xe2\x80\xae") == "\\xe2\\x80\\xae");  // right-to-left override
  CHECK(escape("\xff\xc3") == "\\xff\\xc3");
  CHECK(escape("a\\nb") == "a\\\\nb");  // so that the escaped text is never ambiguous
}

TEST_CASE("JSON keeps its meaning without a character that a terminal may act on") {
  CHECK(tame_json(R"({"a":"Grüße € 𝄞 \u001b"})") == R"({"a":"Grüße € 𝄞 \u001b"})");
  CHECK(tame_json("[\"\x7f\"]") == R"(["\u007f"])");
  CHECK(tame_json("[\"a\xc2\x9b" "31mb\xc2\x80\xc2\x9f\xc2\xa0" "c\"]") == "[\"a\\u009b31mb\\u0080\\u009f\xc2\xa0" "c\"]");
  CHECK(tame_json("[\"\xe2\x80\xae|\xe2\x80\xa8|\xe2\x81\xa6\"]") == R"(["\u202e|\u2028|\u2066"])");
  CHECK(tame_json("") == "");
}

TEST_CASE("UTF-8 is checked as RFC 3629 says") {
  CHECK(is_utf8("Grüße €  𝄞"));
  for (const char* broken : {"\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) CHECK_FALSE(is_utf8(broken));
}

TEST_CASE("plain text is what a terminal only shows, to its end") {
  CHECK(is_plain_text(""));
  CHECK(is_plain_text("Grüße\r\n\t€ 𝄞\fthe next page\n"));
  CHECK(is_plain_text("\xc2\xa0"));  // a space that does not break, after the last of C1
  CHECK_FALSE(is_plain_text(std::string_view("a\0b", 3)));
  CHECK_FALSE(is_plain_text("\xff\xd8\xff"));
  CHECK_FALSE(is_plain_text("a\xe2\x82"));
  for (const char* control : {"\x1b", "\a", "\b", "\v", "\x0e", "\x7f", "\xc2\x80", "\xc2\x9b", "\xc2\x9f"}) {
    CHECK_FALSE(is_plain_text(control));
    CHECK_FALSE(is_plain_text(std::string(100'000, 'x') + control));
  }
}

TEST_CASE("a text that is cut keeps whole characters and says that it was cut") {
  CHECK(cut_to("short", 10) == "short");
  CHECK(cut_to("0123456789", 10) == "0123456789");
  CHECK(cut_to("0123456789a", 10) == "0123456...");
  CHECK(cut_to("äöüäöü", 5) == "äö...");
  CHECK(columns_of(cut_to("äöüäöü", 5)) == 5);
}

TEST_CASE("sizes, durations and counts are for people") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(1023) == "1023 B");
  CHECK(human_bytes(1536) == "1.5 KiB");
  CHECK(human_bytes(64 * 1024 * 1024) == "64 MiB");
  CHECK(human_duration(83e-9) == "83 ns");
  CHECK(human_duration(1.5e-3) == "1.5 ms");
  CHECK(human_duration(1.2) == "1.20 s");
  CHECK(human_duration(125) == "2 min 5 s");
  CHECK(human_duration(3 * 3600 + 12 * 60) == "3 h 12 min");
  CHECK(human_duration(std::nan("")) == "-");
  CHECK(human_count(7) == "7");
  CHECK(human_count(1234567) == "1,234,567");
  CHECK(ordinal(1) == "1st");
  CHECK(ordinal(2) == "2nd");
  CHECK(ordinal(3) == "3rd");
  CHECK(ordinal(4) == "4th");
  for (const std::uint64_t teen : {11U, 12U, 13U, 111U, 212U}) CHECK(ordinal(teen).ends_with("th"));
  CHECK(ordinal(1121) == "1,121st");
  CHECK(plural(1, "value") == "1 value");
  CHECK(plural(1000, "value") == "1,000 values");
}

TEST_CASE("times on the command line have units") {
  CHECK(parse_duration("500ms") == 500ms);
  CHECK(parse_duration("5s") == 5000ms);
  CHECK_FALSE(parse_duration("5").has_value());
  CHECK(parse_duration("1.5s") == 1500ms);
  CHECK(parse_duration("2m") == 120000ms);
  CHECK(parse_duration("1h") == 3600000ms);
  for (const char* wrong : {"", "s", "5x", "-1s", "1e99h", "nan", "inf", "0x10", "5 s"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_duration(wrong).has_value());
  }
}

TEST_CASE("a time that is too long is told from one that is none") {
  CHECK(parse_duration("3650d") == duration_max());
  CHECK(*parse_duration("3651d") > duration_max());
  CHECK(*parse_duration("9999999999d") > duration_max());
}

TEST_CASE("words are wrapped at blanks, under the first of them, and none is cut") {
  CHECK(wrapped("one two three", 0, 4) == "one two three");
  CHECK(wrapped("one two three", 12, 4) == "one two\n    three");
  CHECK(wrapped("one two three", 11, 4) == "one two\n    three");
  CHECK(wrapped("one two three", 10, 4) == "one\n    two\n    three");
  CHECK(wrapped("averylongword x", 10, 4) == "averylongword\n    x");
  CHECK(wrapped("Grüße ja", 11, 4) == "Grüße\n    ja");
  CHECK(wrapped("Grüße ja", 12, 4) == "Grüße ja");
}

TEST_CASE("sizes and durations are written as in the daemon's settings") {
  for (const auto& [text, bytes] : onced::testing::sizes_for_all()) {
    CAPTURE(text);
    CHECK(parse_size(text) == bytes);
  }
  for (const auto& [text, duration] : onced::testing::durations_for_all()) {
    CAPTURE(text);
    CHECK(parse_duration(text) == duration);
  }
}

TEST_CASE("a table aligns its columns and cuts only the last one") {
  Table table({{"SIZE", Table::Align::right}, {"KEY"}});
  table.add({"5 B", "f(\"a\")"});
  table.add({"1023 B", "a_long_function_name()"});
  CHECK(table.text(0) == "  SIZE  KEY\n   5 B  f(\"a\")\n1023 B  a_long_function_name()\n");
  CHECK(table.text(20) == "  SIZE  KEY\n   5 B  f(\"a\")\n1023 B  a_long_fu...\n");
}

TEST_CASE("on a narrow screen columns are left out, those that give way first, and only the last one is cut") {
  Table table({{"STATE"}, {"SIZE", Table::Align::right, 1}, {"AGE", Table::Align::right, 3}, {"HITS", Table::Align::right, 2}, {"KEY"}});
  table.add({"ready", "1023 B", "12 min 3 s", "1,234", "a_function_with_a_long_name(1, 2, 3)"});
  const auto titles = [&](std::size_t width) { return table.left_out(width); };
  CHECK(titles(0).empty());
  CHECK(titles(200).empty());
  CHECK(titles(60).empty());  // 32 for the others, 28 for the key
  CHECK(titles(52) == std::vector<std::string>{"AGE"});
  CHECK(titles(36) == std::vector<std::string>{"AGE", "HITS"});
  CHECK(titles(24) == std::vector<std::string>{"SIZE", "AGE", "HITS"});
  CHECK(table.text(36) == "STATE    SIZE  KEY\nready  1023 B  a_function_with_a_...\n");
  for (const std::size_t width : {20U, 40U, 60U, 80U, 100U}) {
    CAPTURE(width);
    const std::string text = table.text(width);
    const std::string row = text.substr(text.find('\n') + 1);
    CHECK(columns_of(row) - 1 <= width);
    CHECK(columns_of(row) - 1 - row.find("a_func") >= std::min<std::size_t>(36, Table::last_column_least(width) - 3));
  }
  Table short_keys({{"AGE", Table::Align::right, 1}, {"KEY"}});
  short_keys.add({"12 min 3 s", "f()"});
  CHECK(short_keys.left_out(20).empty());  // it does not need its two fifths
}

TEST_CASE("a long name is cut within itself, and that of a call before its arguments are lost") {
  CHECK(cut_within("platform.reports.monthly.revenue", 20) == "platf...thly.revenue");
  CHECK(cut_within("short", 20) == "short");
  CHECK(cut_within("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4", 9) == "\xc3\xa4\xc3\xb6...\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4");
  CHECK(cut_call("f(1, 2)", 20) == "f(1, 2)");
  CHECK(cut_call("f@v1(\"a long argument that goes on\")", 20) == "f@v1(\"a long argu...");
  CHECK(cut_call("platform.reports.monthly.revenue(7)", 24) == "platfo...thly.revenue(7)");
  CHECK(cut_call("platform.reports.monthly.revenue@release-2026-11(7, 8, 9)", 32) == "platf...ly.revenue@r...(7, 8, 9)");
  for (const std::size_t columns : {8U, 16U, 24U, 32U}) {
    CHECK(columns_of(cut_call("platform.reports.monthly.revenue@release-2026-11(\"north\", 2026)", columns)) <= columns);
  }
}

TEST_CASE("phrases go to a new line between each other, never within") {
  const std::vector<std::string> all{"hit ratio 99.9 %", "1 h 2 min saved", "2 computing"};
  CHECK(phrases(all, 0) == "hit ratio 99.9 %, 1 h 2 min saved, 2 computing\n");
  CHECK(phrases(all, 34) == "hit ratio 99.9 %, 1 h 2 min saved,\n  2 computing\n");
  CHECK(phrases(all, 10) == "hit ratio 99.9 %,\n  1 h 2 min saved,\n  2 computing\n");
}

TEST_CASE("a progress line fits its width and shows no percentage that nobody knows") {
  CHECK(progress_line(0.5, "x", 60) == "[##########..........]  50 %  x");
  CHECK(progress_line(1, "", 30) == "[##########] 100 %");
  CHECK(progress_line(std::nan(""), "", 30) == "[..........]   ? %");
  CHECK(columns_of(progress_line(0.3, std::string(200, 'x'), 80)) == 80);
}

TEST_CASE("base64 comes back, and nothing else does") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("foobar") == "Zm9vYmFy");
  for (std::size_t length = 0; length < 300; ++length) {
    std::string bytes;
    for (std::size_t i = 0; i < length; ++i) bytes += static_cast<char>((i * 37 + length) & 0xff);
    CHECK(from_base64(base64(bytes)) == bytes);
  }
  CHECK_FALSE(from_base64("Zg=").has_value());
  CHECK_FALSE(from_base64("Zg!=").has_value());
}

TEST_CASE("sizes are bytes, or powers of 1024 with their unit") {
  CHECK(parse_size("65536") == 65536);
  CHECK(parse_size("0") == 0);
  CHECK(parse_size("64KiB") == 65536);
  CHECK(parse_size("64K") == 65536);
  CHECK(parse_size("1.5M") == 3 * 512 * 1024);
  CHECK(parse_size("4GiB") == std::uint64_t{4} << 30);
  CHECK(parse_size("12B") == 12);
  for (const char* text : {"", "KiB", "-1", "1e3", "64kb", "1 M", "1P", "nan", "inf", "99999999999999999999G"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_size(text).has_value());
  }
}

}  // namespace onced::cli
