#include <onced/protocol/closest_word.hpp>

#include <utility>

namespace onced::protocol {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::swap(before_last, last);
    std::swap(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1), last[j] + 1, row[j - 1] + 1});
      const bool exchanged = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (exchanged) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row.back();
}

Mistyped mistyped(const std::vector<std::string>& unplaced, const std::vector<std::string>& options) {
  const auto option = std::find_if(unplaced.begin(), unplaced.end(), [](const std::string& word) { return word.starts_with("-"); });
  Mistyped found{option == unplaced.end() ? unplaced.front() : *option};
  if (found.word.starts_with("--")) found.meant = closest_word(found.word.substr(0, found.word.find('=')), options);
  return found;
}

}  // namespace onced::protocol
