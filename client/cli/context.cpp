#include "context.hpp"

#include <algorithm>

#include "doctor_permission.hpp"
#include "run_result.hpp"
#include "text_format.hpp"

namespace onced::cli {

ClientOptions Context::client_options() const {
  ClientOptions made;
  made.socket = options.socket;
  made.namespace_name = options.namespace_name;
  made.name = "oncectl";
  made.strict = true;
  if (options.timeout) {
    made.request_timeout = *options.timeout;
    made.disk_timeout = *options.timeout;
    made.connect_timeout = std::min(made.connect_timeout, *options.timeout);
  }
  made.on_warning = [](std::string_view) {};  // every outage is an error here, which the command reports itself
  return made;
}

int Context::fail(const Error& error) {
  output.talk(escape(failure_sentence(error.text)));
  int code = exit_code_for(error.code);
  // For the library a socket that it may not open is a daemon that is away.
  const bool closed = (code == exit_code::unreachable || error.code == ErrorCode::not_permitted) &&
                      permission_problem(Client(client_options()).socket_path()).has_value();
  if (closed) code = exit_code::not_permitted;
  if (closed || code == exit_code::unreachable) {
    output.talk("`oncectl doctor` says what is wrong and how to mend it");
  }
  return code;
}

}  // namespace onced::cli
