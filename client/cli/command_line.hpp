// The shape of oncectl's command line, where the parser library needs help: pure functions on words.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace onced::cli {

// The words without the program's name.
using Words = std::vector<std::string>;

// The word that names the command: the first that is neither an option nor a global option's value.
std::optional<std::size_t> command_position(const Words& words);

// `help` is `--help`, `help ls` is `ls --help`; words after it that are not of that form stay as they are.
void take_help(Words& words);

// "--session '': ...": a choice that is empty is mostly a variable whose making has failed, and must not pass for no choice at all. Nothing when none is.
std::optional<std::string> empty_choice(const Words& words);

// Whether an ONCED_SESSION that is set and empty must stop this command: it would work outside all sessions, where everybody sees what it stores.
bool may_use_session(const std::string& command, const Words& words);

// "--session ID" becomes one word: an id may begin with "-", and must not be taken for an option, which would be said.
void join_session_id(Words& words);

// Takes what follows the first "--" out of `words` when the command is `run`: it belongs to another program, and the
// parser must not look at it. Other commands keep theirs.
Words take_command_of_run(Words& words);

// "no command 'statu'; did you mean 'status'?", or nothing when the command is known or missing.
std::optional<std::string> unknown_command(const Words& words, const std::vector<std::string>& commands);

// "sessions nwe: not one of new, ls; did you mean 'new'?", or nothing when it is one of them.
std::optional<std::string> unknown_action(const std::string& command, const std::string& action, const std::vector<std::string>& actions);

// "not understood: '--jsn'; did you mean '--json'?" for the first of the words that found no place, if there are any.
std::optional<std::string> not_understood(const Words& words, const std::vector<std::string>& options);

}  // namespace onced::cli
