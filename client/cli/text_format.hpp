// Text for people: pure functions from values to strings, and the few that read such strings.
//
// Nothing here knows a terminal or a stream. Foreign text (keys, failure texts, names) goes through escape() before it
// is shown: a function name must not be able to move the cursor or to forge a line.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onced::cli {

// Control characters, C1 ones included, and bytes that are not UTF-8 become \n, \t, \x1b ...; a backslash becomes two.
std::string escape(std::string_view foreign);
bool is_utf8(std::string_view bytes);
// The same JSON, with those characters that JSON leaves as they are and escape() does not as \u009b: DEL, C1, what reorders text. For every reader, since a
// terminal may be the end of a pipe.
std::string tame_json(std::string json);
// Something that a terminal only shows: UTF-8 without control characters but those that end lines and pages and move to a column. ESC, BEL and C1 make it
// do what they say: a value is of somebody else, perhaps.
bool is_plain_text(std::string_view bytes);

// Columns that well-formed UTF-8 takes on a terminal when every character is one column wide.
std::size_t columns_of(std::string_view utf8);
// At most `columns` columns; a longer text ends in an ellipsis.
std::string cut_to(std::string_view utf8, std::size_t columns);
// The same with the ellipsis within it: of dotted names the last word says most.
std::string cut_within(std::string_view utf8, std::size_t columns);
// The same of "name@version(arguments)  and more": version and name give way, the name within itself, before the arguments are lost.
std::string cut_call(std::string_view utf8, std::size_t columns);
// Phrases one after the other, joined by ", ", in lines of at most `columns` (0: one line) that are broken between phrases. Each ends in a newline,
// those after the first begin with two spaces.
std::string phrases(const std::vector<std::string>& all, std::size_t columns);

// Words in lines of at most `columns` (0: one line) that are broken at blanks; those after the first begin with `indent` blanks, and the first has as many
// before it already. A word that is too long stays whole. No newline at the end.
std::string wrapped(std::string_view text, std::size_t columns, std::size_t indent);

std::string human_bytes(std::uint64_t bytes);            // "1.5 MiB"
std::string octal_mode(unsigned mode);                   // "0750", of a file
std::string human_duration(double seconds);              // "83 ns", "1.20 s", "3 h 12 min"
std::string human_count(std::uint64_t count);            // "1,234,567"
std::string ordinal(std::uint64_t number);                // "1st", "2nd", "113th"
std::string plural(std::uint64_t count, std::string_view noun);  // "1 value", "2 values"

// "500ms", "5s", "2m" or "2min", "1h", "7d", "1.5s": all that the daemon's settings take, and likewise nothing without a unit. Nothing when it is none of
// these or negative; what is longer than duration_max() comes as that and a millisecond.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
// Ten years, as for the daemon's settings: far below any overflow.
constexpr std::chrono::milliseconds duration_max() { return std::chrono::hours(24) * 3650; }

// "65536", "64KiB", "64K", "1.5GiB", "1G", "2TiB"; units are powers of 1024. Nothing when it is none of these, negative or absurd.
std::optional<std::uint64_t> parse_size(std::string_view text);

// Columns aligned by their widest cell; numbers to the right. Of a `width` (0: nothing is cut) the last column has two fifths at least, if it
// needs them, and is the only one that is ever cut: for its sake others are left out, those first that give way first.
class Table {
 public:
  enum class Align : std::uint8_t { left, right };
  enum class Cut : std::uint8_t { at_end, within, call };  // cut_to(), cut_within(), cut_call()
  struct Column {
    std::string title;
    Align align = Align::left;
    int gives_way = 0;       // the highest first; 0: stays
    Cut cut = Cut::at_end;   // of the last column
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text(std::size_t width) const;
  // The titles of the columns that have no place in this width.
  std::vector<std::string> left_out(std::size_t width) const;
  static std::size_t last_column_least(std::size_t width);

 private:
  std::vector<std::size_t> widths() const;
  std::vector<bool> shown(std::size_t width, const std::vector<std::size_t>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "[#######.............]  35 %  text", at most `columns` wide; a fraction that is not a number shows no percentage.
std::string progress_line(double fraction, std::string_view text, std::size_t columns);

std::string base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);

}  // namespace onced::cli
