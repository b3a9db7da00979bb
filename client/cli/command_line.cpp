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

void take_help(Words& words) {
  const std::optional<std::size_t> position = command_position(words);
  if (!position || words[*position] != "help") return;
  words.erase(words.begin() + static_cast<std::ptrdiff_t>(*position));
  words.push_back("--help");
}

bool may_be_empty(std::string_view choice) { return choice == "--part" || choice == "--function-version" || choice == "--content-type"; }

std::string empty_text(const std::string& choice, bool required) {
  std::string way_on = required ? "give it a value" : "give it a value, or leave it away";
  if (choice == "--session") way_on = "give the id of a session (`oncectl sessions new` makes one), or leave the option away to work outside all sessions";
  if (choice == "ARGS") way_on = "give '[]' for no arguments, or leave it away";
  return choice + " '': is empty; " + way_on;
}

std::optional<std::string> empty_choice(const Words& words, const std::vector<std::string>& options) {
  const auto end = std::find(words.begin(), words.end(), "--");
  for (auto word = words.begin(); word != end; ++word) {
    for (const std::string& option : options) {
      const bool is_global = option == "--session" || option == "--namespace" || option == "--socket" || option == "--timeout";
      const bool alone = is_global && *word == option && word + 1 != end && (word + 1)->empty();
      if (alone || (*word == option + "=" && !may_be_empty(option))) return empty_text(option, false);
    }
  }
  return std::nullopt;
}

void part_empty_words(Words& words) {
  for (std::size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    if (!words[i].ends_with("=") || !may_be_empty(std::string_view(words[i]).substr(0, words[i].size() - 1))) continue;
    words[i].pop_back();
    words.insert(words.begin() + static_cast<std::ptrdiff_t>(i) + 1, std::string());
  }
}

bool may_use_session(const std::string& command, const Words& words) {
  for (const char* without : {"status", "stats", "top", "disk", "doctor"})
    if (command == without) return false;
  if (command != "sessions") return true;
  return std::none_of(words.begin(), words.end(), [](const std::string& word) { return word == "new" || word == "ls"; });
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
  const auto [word, meant] = protocol::mistyped(words, options);
  return "not understood: '" + escape(word) + "'" + (meant ? "; did you mean '" + *meant + "'?" : std::string());
}

}  // namespace onced::cli
