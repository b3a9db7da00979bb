#include "command_line.hpp"

#include <algorithm>

#include <onced/protocol/closest_word.hpp>

#include "text_format.hpp"

namespace onced::cli {

std::optional<std::size_t> command_position(const Words& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") return std::nullopt;
    if (word == "--socket" || word == "--namespace" || word == "--timeout" || word == "--session") {
      ++i;  // its value is the next word; --socket=PATH is one word
    } else if (!word.starts_with("-")) {
      return i;
    }
  }
  return std::nullopt;
}

void join_session_id(Words& words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  const auto option = std::find(words.begin(), end, "--session");
  if (option == end || option + 1 == end) return;
  *option += "=" + *(option + 1);
  words.erase(option + 1);
}

Words take_command_of_run(Words& words) {
  const std::optional<std::size_t> position = command_position(words);
  if (!position || words[*position] != "run") return {};
  const auto separator = std::find(words.begin() + static_cast<std::ptrdiff_t>(*position), words.end(), "--");
  if (separator == words.end()) return {};
  Words command(separator + 1, words.end());
  words.erase(separator, words.end());
  return command;
}

std::optional<std::string> unknown_command(const Words& words, const std::vector<std::string>& commands) {
  const std::optional<std::size_t> position = command_position(words);
  if (!position) return std::nullopt;
  const std::string& word = words[*position];
  if (std::find(commands.begin(), commands.end(), word) != commands.end()) return std::nullopt;
  std::string text = "no command '" + escape(word) + "'";
  if (const auto meant = protocol::closest_word(word, commands)) text += "; did you mean '" + *meant + "'?";
  return text;
}

std::optional<std::string> unknown_action(const std::string& command, const std::string& action, const std::vector<std::string>& actions) {
  if (std::find(actions.begin(), actions.end(), action) != actions.end()) return std::nullopt;
  std::string text = command + " " + escape(action) + ": not one of ";
  for (const std::string& one : actions) text += (&one == &actions.front() ? "" : ", ") + one;
  if (const auto meant = protocol::closest_word(action, actions)) text += "; did you mean '" + *meant + "'?";
  return text;
}

std::optional<std::string> not_understood(const Words& words, const std::vector<std::string>& options) {
  if (words.empty()) return std::nullopt;
  // An option's value stands behind it and is not what is wrong.
  const auto option = std::find_if(words.begin(), words.end(), [](const std::string& word) { return word.starts_with("-"); });
  const std::string& word = option == words.end() ? words.front() : *option;
  std::string text = "not understood: '" + escape(word) + "'";
  if (!word.starts_with("--")) return text;
  const std::string name = word.substr(0, word.find('='));
  if (const auto meant = protocol::closest_word(name, options)) text += "; did you mean '" + *meant + "'?";
  return text;
}

}  // namespace onced::cli
