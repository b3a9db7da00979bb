#include <onced/value.hpp>

#include <utility>

#include "attachment.hpp"
#include "value_maker.hpp"

namespace onced {

void Value::drop() noexcept {
  if (attachment_ != nullptr) attachment_->drop_view(pin_, fork_epoch_);
  delete owned_;
}

void Value::swap(Value& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(content_type_, other.content_type_);
  std::swap(attachment_, other.attachment_);
  std::swap(owned_, other.owned_);
  std::swap(version_, other.version_);
  std::swap(cost_us_, other.cost_us_);
  std::swap(pin_, other.pin_);
  std::swap(fork_epoch_, other.fork_epoch_);
  std::swap(computed_here_, other.computed_here_);
}

}  // namespace onced
