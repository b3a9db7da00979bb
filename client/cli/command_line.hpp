// The shape of oncectl's command line, where the parser library needs help: pure functions on words.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onced::cli {

// The words without the program's name.
using Words = std::vector<std::string>;

// The word that names the command: the first that is neither an option nor a global option's value.
std::optional<std::size_t> command_position(const Words& words);

// `help` is `--help`, `help ls` is `ls --help`; words after it that are not of that form stay as they are.
void take_help(Words& words);

// A word that was given and is empty is mostly a variable whose making has failed, and must not pass for one that was not given: `invalidate f "$ARGS"` would
// drop all of f. Only of a part's name, a version and a MIME type the empty one is one of them.
bool may_be_empty(std::string_view choice);

// "--session '': is empty; ...", with the way on.
std::string empty_text(const std::string& choice, bool required);

// What the parser would not show: "--tag=", for which it takes the next word, and an empty global option, which may hide the command. `options` are all that
// there are ("--tag"). Nothing when none is empty; of the others the parser tells.
std::optional<std::string> empty_choice(const Words& words, const std::vector<std::string>& options);

// "--part=" becomes two words, of which the second is empty: as the parser understands it.
void part_empty_words(Words& words);

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
