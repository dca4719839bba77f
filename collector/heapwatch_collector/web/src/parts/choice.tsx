import { useId, type ReactNode } from "react";

interface ChoiceProps {
  label: string;
  options: readonly { key: string; name: string }[];
  value: string;
  onChange: (key: string) => void;
}

/** A few options side by side, one of them chosen; arrow keys move between them. */
export function Choice({ label, options, value, onChange }: ChoiceProps): ReactNode {
  const group = useId();
  return (
    <fieldset className="choice">
      <legend className="unseen">{label}</legend>
      {options.map((option) => (
        <label key={option.key}>
          <input type="radio" name={group} checked={option.key === value} onChange={() => onChange(option.key)} />
          <span>{option.name}</span>
        </label>
      ))}
    </fieldset>
  );
}
