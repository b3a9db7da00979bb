#include <onced/protocol/result.hpp>

namespace onced {

std::string_view name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::malformed: return "malformed";
    case ErrorCode::version_mismatch: return "version_mismatch";
    case ErrorCode::too_large: return "too_large";
    case ErrorCode::limit_reached: return "limit_reached";
    case ErrorCode::not_permitted: return "not_permitted";
    case ErrorCode::unknown_token: return "unknown_token";
    case ErrorCode::recursion: return "recursion";
    case ErrorCode::deadlock: return "deadlock";
    case ErrorCode::timed_out: return "timed_out";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::computation_failed: return "computation_failed";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::out_of_memory: return "out_of_memory";
    case ErrorCode::internal: return "internal";
    case ErrorCode::session_ended: return "session_ended";
    case ErrorCode::not_durable: return "not_durable";
  }
  return "unknown";  // a newer peer's code
}

}  // namespace onced
