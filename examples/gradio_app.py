"""A Gradio Space: a page that names the action in an uploaded video.

Put this file into a Space as app.py, beside a requirements.txt with the lines `gerund` and `gradio`, and set GERUND_MODEL in the
Space's settings to a pushed model (hf:USER/MODEL). Here: GERUND_MODEL=runs/train python examples/gradio_app.py
"""

import os

import gradio as gr

import gerund

recognizer = gerund.Recognizer.load(os.environ["GERUND_MODEL"])


def name_action(path: str | None) -> dict[str, float]:
    """Label -> probability, as gr.Label shows it."""
    if path is None:
        raise gr.Error("Choose a video first.")
    try:
        return {answer["label"]: answer["score"] for answer in recognizer(path, top_k=None)}
    except gerund.GerundError as error:
        raise gr.Error(str(error)) from error


app = gr.Interface(
    fn=name_action,
    inputs=gr.Video(label="Video", sources=["upload", "webcam"]),
    outputs=gr.Label(num_top_classes=5, label="Action"),
    title="What is happening here?",
    description=f"Knows these actions and no other: {', '.join(recognizer.labels)}.",
    flagging_mode="never",
)

if __name__ == "__main__":
    app.launch()
