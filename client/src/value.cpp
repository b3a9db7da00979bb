#include <onced/value.hpp>

#include <utility>

#include "attachment.hpp"
#include "part_table.hpp"
#include "value_maker.hpp"

namespace onced {

void Value::drop() noexcept {
  // Views first: they are of what the pin keeps.
  delete parts_;
  if (attachment_ != nullptr) attachment_->drop_view(pin_, fork_epoch_, mapping_);
}

std::size_t Value::part_count() const {
  if (parts_ != nullptr) return parts_->count();
  return attachment_ != nullptr ? 1 : 0;
}

Result<Part> Value::part(std::size_t number) const {
  if (parts_ != nullptr) return parts_->part(number);
  if (number < part_count()) return Part{{}, content_type_, bytes_};
  return Error{ErrorCode::not_found, "the value has no part number " + std::to_string(number) + "; it has " + std::to_string(part_count())};
}

Result<Part> Value::part(std::string_view name) const {
  if (parts_ != nullptr) return parts_->part(name);
  if (name.empty() && part_count() == 1) return Part{{}, content_type_, bytes_};
  return Error{ErrorCode::not_found, "the value has no part \"" + std::string(name) + "\"; " +
                                         (part_count() == 1 ? "it has one, without a name" : "it is empty")};
}

std::vector<PartInfo> Value::parts() const {
  std::vector<PartInfo> infos;
  if (parts_ == nullptr) {
    if (part_count() == 1) infos.push_back({{}, content_type_, bytes_.size(), mapping_ != nullptr});
    return infos;
  }
  for (std::size_t number = 0; number < parts_->count(); ++number) infos.push_back(parts_->info(number));
  return infos;
}

std::optional<Error> Value::not_stored() const { return parts_ != nullptr ? parts_->not_stored() : std::nullopt; }

std::optional<Error> Value::not_durable() const { return parts_ != nullptr ? parts_->not_durable() : std::nullopt; }

void Value::swap(Value& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(content_type_, other.content_type_);
  std::swap(attachment_, other.attachment_);
  std::swap(parts_, other.parts_);
  std::swap(mapping_, other.mapping_);
  std::swap(version_, other.version_);
  std::swap(cost_us_, other.cost_us_);
  std::swap(pin_, other.pin_);
  std::swap(fork_epoch_, other.fork_epoch_);
  std::swap(computed_here_, other.computed_here_);
  std::swap(age_, other.age_);
}

}  // namespace onced
