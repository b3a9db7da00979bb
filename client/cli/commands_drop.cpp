// invalidate, cancel: values dropped, computations ended.
#include <memory>

#include <onced/protocol/limits.hpp>

#include "context.hpp"
#include "key_words.hpp"
#include "name_option.hpp"
#include "reach.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

struct DropWords {
  KeyWords key;
  std::string function{};  // --function: the same as the word FUNCTION without ARGS
  bool all = false;
  bool soft = false;  // of invalidate, and
  std::string tag{};
};

// Lets --function stand where FUNCTION does; or what is wrong with it.
std::optional<std::string> take_function(DropWords& words) {
  if (words.function.empty()) return std::nullopt;
  if (!words.key.function.empty()) return "--function and FUNCTION exclude each other: --function NAME is all of a function, FUNCTION ARGS one key";
  words.key.function = words.function;
  return std::nullopt;
}

// The names that are sent as they are.
Result<void> check_names(const DropWords& words) {
  if (auto named = name_option("--tag", words.tag, limits::tag_bytes_max); !named) return named;
  return function_option(words.function.empty() ? "FUNCTION" : "--function", words.key.function);
}

// What is wrong with the combination of words, if anything.
std::optional<std::string> mistake(const DropWords& words, std::string_view instead) {
  if (!words.tag.empty()) {
    if (words.all || !words.key.function.empty()) return "--tag excludes --all and FUNCTION";
    return std::nullopt;
  }
  if (words.all && !words.key.function.empty()) return "--all and FUNCTION exclude each other";
  if (!words.all && words.key.function.empty()) return "FUNCTION is required (or " + std::string(instead) + ")";
  if (!words.key.version.empty() && words.key.whole_function()) {
    return "--function-version needs ARGS: without ARGS every version of the function is meant ('[]' is no arguments)";
  }
  return std::nullopt;
}

// Functions and tags reach across sessions: who works in one would drop everybody's.
std::optional<std::string> too_wide(const Reach& reach, const DropWords& words) {
  const bool is_of_all = !words.tag.empty() || (!words.all && words.key.whole_function());
  if (!reach.session_number() || !is_of_all) return std::nullopt;
  return "a function or a tag is everybody's, not the session's alone: give ARGS ('[]' is no arguments) or --all, or work without a session";
}

int finish(Context& context, const Result<std::uint64_t>& dropped, std::string_view noun, std::string_view verb) {
  if (!dropped) return context.fail(dropped.error());
  if (context.options.json) context.json_line(Json{{"count", *dropped}});
  else context.output.data(plural(*dropped, noun) + " " + std::string(verb) + "\n");
  return exit_code::ok;
}

int invalidate(Context& context, DropWords words) {
  if (const auto text = take_function(words)) return context.fail({ErrorCode::invalid_argument, *text});
  if (const auto text = mistake(words, "--function, --tag or --all")) return context.fail({ErrorCode::invalid_argument, *text});
  if (const Result<void> named = check_names(words); !named) return context.fail(named.error());
  Result<Reach> reach = Reach::open(context);
  if (!reach) return context.fail(reach.error());
  if (const auto text = too_wide(*reach, words)) return context.fail({ErrorCode::invalid_argument, *text});
  const InvalidateOptions options{.soft = words.soft};
  const std::string_view verb = words.soft ? "made stale" : "dropped";
  if (!words.tag.empty()) return finish(context, reach->client().invalidate_tag(words.tag, options), "value", verb);
  if (words.all) return finish(context, reach->invalidate_all(options), "value", verb);
  if (words.key.whole_function()) return finish(context, reach->client().invalidate_function(words.key.function, options), "value", verb);
  const Result<Key> key = reach->key(words.key);
  if (!key) return context.fail(key.error());
  return finish(context, reach->invalidate(*key, options), "value", verb);
}

int cancel(Context& context, DropWords words) {
  if (const auto text = take_function(words)) return context.fail({ErrorCode::invalid_argument, *text});
  if (const auto text = mistake(words, "--function")) return context.fail({ErrorCode::invalid_argument, *text});
  if (const Result<void> named = check_names(words); !named) return context.fail(named.error());
  Result<Reach> reach = Reach::open(context);
  if (!reach) return context.fail(reach.error());
  if (const auto text = too_wide(*reach, words)) return context.fail({ErrorCode::invalid_argument, *text});
  if (words.key.whole_function()) return finish(context, reach->client().cancel_function(words.key.function), "computation", "ended");
  const Result<Key> key = reach->key(words.key);
  if (!key) return context.fail(key.error());
  return finish(context, reach->cancel(*key), "computation", "ended");
}

void add_function_option(Command& command, DropWords& words) {
  command.add_option("--function", words.function, "All of this function: FUNCTION without ARGS", "NAME");
}

}  // namespace

void add_drop_commands(CLI::App& app, Context& context) {
  auto invalidate_words = std::make_shared<DropWords>();
  Command invalidate_command = add_command(
      app, context,
      {"invalidate", "FUNCTION [ARGS]", "Drop a value, or all of a function",
       "One value with ARGS, all of the function without; an ARGS that is empty, as a\n"
       "variable that is not set, is exit code 2. When it returns, no reader\n"
       "finds the old value; a computation in flight answers only those who already wait\nfor it. With --soft "
       "values become stale instead: whoever asks still gets them, for their\ngrace or a minute, while the first one computes them anew.\n",
      "  oncectl invalidate prices '{\"market\": \"north\"}'\n"
      "  oncectl invalidate prices            # with any arguments\n"
      "  oncectl invalidate --function prices # the same\n"
      "  oncectl invalidate prices --soft\n"
      "  oncectl invalidate --tag north       # what was put or computed with --tag north\n"
      "  oncectl invalidate --all\n"},
      [&context, invalidate_words] { return invalidate(context, *invalidate_words); });
  add_key_words(invalidate_command, invalidate_words->key, Need::optional);
  add_function_option(invalidate_command, *invalidate_words);
  invalidate_command.add_flag("--all", invalidate_words->all, "Everything in the namespace, or in the session");
  invalidate_command.add_option("--tag", invalidate_words->tag, "All values with this tag", "NAME");
  invalidate_command.add_flag("--soft", invalidate_words->soft, "Make values stale instead of dropping them");

  auto cancel_words = std::make_shared<DropWords>();
  Command cancel_command = add_command(
      app, context,
      {"cancel", "FUNCTION [ARGS]", "End a computation, or all of a function",
       "One computation with ARGS, all of the function without, those that are queued as well;\n"
       "an ARGS that is empty, as a variable that is not set, is exit code 2.\n"
       "Holder and waiters are told; a holder that does not look goes on,\n"
       "but its result is not stored.\n",
      "  oncectl cancel prices '{\"market\": \"north\"}'\n"
      "  oncectl cancel --function run:make-report\n"},
      [&context, cancel_words] { return cancel(context, *cancel_words); });
  add_key_words(cancel_command, cancel_words->key, Need::optional);
  add_function_option(cancel_command, *cancel_words);
}

}  // namespace onced::cli
