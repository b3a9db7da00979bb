#include "command.hpp"

#include <memory>
#include <utility>

#include <CLI/CLI.hpp>

#include "context.hpp"
#include "help_formatter.hpp"

namespace onced::cli {

void Command::add_word(const std::string& name, std::string& word, const std::string& text, Need need) {
  parsed_->add_option(name, word, text)->type_name("")->required(need == Need::required);
}

void Command::add_option(const std::string& name, std::string& option, const std::string& text, const std::string& value) {
  parsed_->add_option(name, option, text)->type_name(value);
}

void Command::add_option(const std::string& name, std::optional<std::string>& option, const std::string& text, const std::string& value) {
  parsed_->add_option(name, option, text)->type_name(value);
}

void Command::add_options(const std::string& name, std::vector<std::string>& options, const std::string& text, const std::string& value) {
  parsed_->add_option(name, options, text)->type_name(value)->allow_extra_args(false);
}

void Command::add_flag(const std::string& name, bool& flag, const std::string& text) { parsed_->add_flag(name, flag, text); }

Command add_command(CLI::App& app, Context& context, const CommandText& text, Action action) {
  CLI::App* command = app.add_subcommand(text.name, text.summary);
  command->group("Commands");
  command->formatter(std::make_shared<HelpFormatter>(text.words));
  command->footer((text.details.empty() ? "" : text.details + "\n") + "Examples:\n" + text.examples +
                  "\n--socket, --namespace, --session, --json and --timeout: see `oncectl --help`.");
  command->callback([&context, action = std::move(action)] { context.action = action; });
  return Command(*command);
}

}  // namespace onced::cli
