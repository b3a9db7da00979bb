// What somebody meant who has mistyped a word: for error texts of the daemon, its configuration and the command line.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onced::protocol {

// Letters that must be inserted, removed, replaced or exchanged with their neighbour: the optimal string alignment distance, in bytes.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The first of those words that come closest; nothing when all are further away than a slip of the fingers: a third of the word may be wrong,
// and two letters of a short one ("lst" for "ls"). What the word is the beginning of is closest of all.
template <typename Words>
std::optional<std::string> closest_word(std::string_view word, const Words& words) {
  std::optional<std::string> best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string_view candidate : words) {
    const bool begins = word.size() >= 3 && candidate.starts_with(word);
    const std::size_t distance = begins ? 0 : edit_distance(word, candidate);
    // Something must be left of the word: everything is two edits away from "ls".
    if (distance < best_distance && distance < std::max(word.size(), candidate.size())) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

// Of the words of a command line that its parser found no place for, which are some: the one that is wrong, and which of the options, if it is one,
// it was probably meant to be. An option's value stands beside it and is not what is wrong.
struct Mistyped {
  std::string word;
  std::optional<std::string> meant{};
};
Mistyped mistyped(const std::vector<std::string>& unplaced, const std::vector<std::string>& options);

}  // namespace onced::protocol
