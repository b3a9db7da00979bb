#include "command_line.hpp"

#include <doctest/doctest.h>

namespace onced::cli {

TEST_CASE("the id of a session belongs to its option, whatever it begins with") {
  Words words{"--json", "--session", "-h_x", "get", "f"};
  join_session_id(words);
  CHECK(words == Words{"--json", "--session=-h_x", "get", "f"});
  CHECK(command_position(words) == 2);
  CHECK(command_position({"--session", "id", "get"}) == 2);
  words = {"run", "--", "x", "--session", "y"};
  join_session_id(words);
  CHECK(words.size() == 5);
  words = {"get", "--session"};
  join_session_id(words);
  CHECK(words.size() == 2);
}

TEST_CASE("help is --help, of the command that is named") {
  const auto helped = [](Words words) {
    take_help(words);
    return words;
  };
  CHECK(helped({"help"}) == Words{"--help"});
  CHECK(helped({"--json", "help", "ls"}) == Words{"--json", "ls", "--help"});
  CHECK(helped({"get", "help"}) == Words{"get", "help"});
}

TEST_CASE("an empty choice is told from none") {
  const std::vector<std::string> options{"--session", "--namespace", "--tag", "--part"};
  const auto empty = [&](const Words& words) { return empty_choice(words, options); };
  CHECK_FALSE(empty({"--session", "x", "get", "f", ""}));
  CHECK_FALSE(empty({"run", "--", "x", "--session", "", "--tag="}));
  CHECK(empty({"get", "f", "--session", ""})->starts_with("--session '': is empty; "));
  CHECK(empty({"--session=", "get", "f"})->starts_with("--session '': is empty; "));
  CHECK(empty({"--namespace", "", "get", "f"})->starts_with("--namespace '': is empty; "));
  CHECK(empty({"invalidate", "--tag=", "f"}) == "--tag '': is empty; give it a value, or leave it away");
  CHECK_FALSE(empty({"invalidate", "--tag", "", "f"}));  // the parser's to tell
  CHECK_FALSE(empty({"put", "f", "--part", "a=", "--unknown="}));
  CHECK(empty_text("ARGS", false) == "ARGS '': is empty; give '[]' for no arguments, or leave it away");
  CHECK(empty_text("FUNCTION", true) == "FUNCTION '': is empty; give it a value");
}

TEST_CASE("a part's name, a version and a MIME type may be empty, also behind =") {
  Words words{"get", "f", "--part=", "--function-version=", "--tag=", "--", "--part="};
  CHECK_FALSE(empty_choice({"get", "f", "--part="}, {"--part"}));
  part_empty_words(words);
  CHECK(words == Words{"get", "f", "--part", "", "--function-version", "", "--tag=", "--", "--part="});
}

TEST_CASE("commands that work outside sessions only do not care for one") {
  for (const char* without : {"status", "stats", "top", "disk", "doctor"}) CHECK_FALSE(may_use_session(without, {without}));
  CHECK_FALSE(may_use_session("sessions", {"sessions", "new"}));
  CHECK_FALSE(may_use_session("sessions", {"sessions", "ls"}));
  for (const char* with : {"get", "put", "run", "wait", "watch", "ls", "explain", "invalidate", "cancel"}) CHECK(may_use_session(with, {with}));
  CHECK(may_use_session("sessions", {"sessions", "rotate"}));
}

TEST_CASE("the command is the first word that is no option and no option's value") {
  CHECK(command_position({"status"}) == 0);
  CHECK(command_position({"--json", "--socket", "get", "--timeout=5s", "put"}) == 4);
  CHECK(command_position({"--socket=/s", "ls"}) == 1);
  CHECK_FALSE(command_position({"--json"}).has_value());
  CHECK_FALSE(command_position({"--", "run"}).has_value());
}

TEST_CASE("what follows -- belongs to the command that is run, whatever it looks like") {
  Words words{"--json", "run", "--name", "n", "--", "sh", "--help", "--", "[1,2]"};
  CHECK(take_command_of_run(words) == Words{"sh", "--help", "--", "[1,2]"});
  CHECK(words == Words{"--json", "run", "--name", "n"});
}

TEST_CASE("other commands keep their --") {
  Words words{"get", "--", "run", "--", "x"};
  CHECK(take_command_of_run(words).empty());
  CHECK(words.size() == 5);
}

TEST_CASE("a word that found no place is named, an option with the one that was probably meant") {
  const std::vector<std::string> options{"--json", "--socket"};
  CHECK_FALSE(not_understood({}, options));
  CHECK(not_understood({"x", "--jsno=1"}, options) == "not understood: '--jsno=1'; did you mean '--json'?");
  CHECK(not_understood({"x", "y"}, options) == "not understood: 'x'");
  CHECK(not_understood({"--\x1b[31m"}, options) == "not understood: '--\\x1b[31m'");
}

TEST_CASE("an unknown command is named, with the one that was probably meant") {
  const std::vector<std::string> commands{"status", "invalidate"};
  CHECK_FALSE(unknown_command({"status"}, commands).has_value());
  CHECK_FALSE(unknown_command({"--help"}, commands).has_value());
  CHECK(unknown_command({"statis"}, commands) == "no command 'statis'; did you mean 'status'?");
  CHECK(unknown_command({"\x1b[2J"}, commands) == "no command '\\x1b[2J'");
}

TEST_CASE("an unknown action of a command is named, with those there are and the one that was probably meant") {
  const std::vector<std::string> actions{"new", "ls", "end"};
  CHECK_FALSE(unknown_action("sessions", "ls", actions).has_value());
  CHECK(unknown_action("sessions", "nwe", actions) == "sessions nwe: not one of new, ls, end; did you mean 'new'?");
  CHECK(unknown_action("sessions", "\x1b[2J", actions) == "sessions \\x1b[2J: not one of new, ls, end");
}

}  // namespace onced::cli
