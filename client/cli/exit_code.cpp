#include "exit_code.hpp"

namespace onced::cli {

int exit_code_for(ErrorCode code) {
  switch (code) {
    case ErrorCode::not_found:  // a namespace; a value that is not there is no error of the client's
    case ErrorCode::invalid_argument:
    case ErrorCode::too_large: return exit_code::usage;
    case ErrorCode::unavailable:
    case ErrorCode::version_mismatch: return exit_code::unreachable;
    case ErrorCode::timed_out: return exit_code::timed_out;
    case ErrorCode::session_ended:
    case ErrorCode::not_permitted: return exit_code::not_permitted;
    case ErrorCode::computation_failed:
    case ErrorCode::cancelled: return exit_code::computation_failed;
    case ErrorCode::not_durable: return exit_code::not_durable;
    case ErrorCode::malformed:
    case ErrorCode::limit_reached:
    case ErrorCode::unknown_token:
    case ErrorCode::recursion:
    case ErrorCode::deadlock:
    case ErrorCode::out_of_memory:
    case ErrorCode::internal: return exit_code::own_fault;
  }
  return exit_code::own_fault;
}

}  // namespace onced::cli
