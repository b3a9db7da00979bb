#include "key_words.hpp"

#include "text_format.hpp"

namespace onced::cli {

void add_key_words(Command& command, KeyWords& words, Need function) {
  command.add_word("FUNCTION", words.function, "Name of the computation", function);
  command.add_word("ARGS", words.arguments, "Its arguments: a JSON array (positional) or object (named)");
  command.add_option("--function-version", words.version, "The version in the key (default: none)", "V");
}

Result<Key> make_key(const KeyWords& words, std::optional<std::uint64_t> session) {
  KeyBuilder builder(words.function, words.version, session);
  if (!words.arguments.empty()) builder.arguments_json(words.arguments);
  Result<Key> key = builder.build();
  if (key) return key;
  // The library's sentence says of which of its functions it is; here that is ARGS.
  std::string_view why = key.error().text;
  constexpr std::string_view library = "arguments are not JSON that makes a key: ";
  const bool of_arguments = why.starts_with(library);
  if (of_arguments) why.remove_prefix(library.size());
  // "at byte 1: parse error at line 1, column 1: syntax error while parsing value - what": one line, whose byte says it all.
  std::string text(why);
  if (const std::size_t parse = text.find("parse error at line "); of_arguments && parse != std::string::npos) {
    if (const std::size_t what = text.find(": ", parse); what != std::string::npos) text.erase(parse, what + 2 - parse);
  }
  return Error{ErrorCode::invalid_argument, (of_arguments ? "ARGS makes no key " : "this is no key: ") + text +
                                                (words.arguments.empty()
                                                     ? ""
                                                     : "; ARGS is a JSON array such as '[\"apples\", 7]' or an object such as "
                                                       "'{\"fruit\": \"apples\"}'")};
}

Json key_json(std::string_view key_bytes) {
  Json fields = Json::object();
  const Result<Key> key = Key::parse(key_bytes);
  if (!key) {  // from a newer daemon, perhaps: show what came
    fields["function"] = nullptr;
    fields["arguments"] = nullptr;
    fields["function_version"] = nullptr;
    return fields;
  }
  fields["function"] = key->function();
  fields["arguments"] = Json::parse(key->arguments_json(), nullptr, false);
  if (fields["arguments"].is_discarded()) fields["arguments"] = key->arguments_json();
  fields["function_version"] = key->version();
  if (const auto session = key->session()) fields["session"] = *session;
  return fields;
}

std::string key_display(std::string_view key_bytes, std::size_t width) {
  const Result<Key> key = Key::parse(key_bytes);
  return key ? key->display(width) : "(a key this version cannot read)";
}

}  // namespace onced::cli
