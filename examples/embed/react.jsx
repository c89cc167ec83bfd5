// React 19 or later passes properties and events to custom elements.
import "http://localhost:8000/static/element/inkling-digit.js";
import { useState } from "react";

export function Digit() {
  const [label, setLabel] = useState("–");
  return (
    <p>
      <inkling-digit live="" ondigit-prediction={({ detail }) => setLabel(detail.prediction.label)} /> You wrote {label}.
    </p>
  );
}
