// A command as its group describes it: its name, what its help says, the words and options that it takes.
//
// The parser (CLI11) stays behind this: its header makes every file that reads it compile for seconds longer, and the commands
// need only what is here. Whoever needs more of it reads it itself (main.cpp).
// Lifetimes: what a word or an option fills must live until the command line has been understood.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace onced::cli {

struct Context;
using Action = std::function<int()>;  // gives the exit code

// What `oncectl --help` says of a command (one short line) and what its own --help adds (lines of at most 80 columns).
struct CommandText {
  std::string name;
  std::string words;    // what follows the options, as in "FUNCTION [ARGS]"
  std::string summary;
  std::string details;  // may be empty
  std::string examples;
};

enum class Need : bool { optional, required };

class Command {
 public:
  explicit Command(CLI::App& parsed) : parsed_(&parsed) {}

  // By its place among the words. `text` says what it means, here and below; lines of at most 50 columns.
  void add_word(const std::string& name, std::string& word, const std::string& text, Need need = Need::optional);
  // "--name VALUE"; `value` is how the help calls what follows it.
  void add_option(const std::string& name, std::string& option, const std::string& text, const std::string& value);
  void add_option(const std::string& name, std::optional<std::string>& option, const std::string& text, const std::string& value);
  // The same for one that may be repeated, with one value each time.
  void add_options(const std::string& name, std::vector<std::string>& options, const std::string& text, const std::string& value);
  // "--name" or "-n,--name".
  void add_flag(const std::string& name, bool& flag, const std::string& text);

 private:
  CLI::App* parsed_;
};

// Adds a subcommand; the action becomes the context's when it was chosen.
Command add_command(CLI::App& app, Context& context, const CommandText& text, Action action);

}  // namespace onced::cli
